//go:build !race && !windhoverdebug

package proto

func poison([]byte) {}
