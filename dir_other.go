//go:build !unix

package windhover

// nonBlock is of no use where there are no named pipes among the files.
const nonBlock = 0
