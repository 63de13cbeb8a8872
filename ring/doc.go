// Package ring is Windhover's transport over Linux's io_uring.
package ring
