//go:build !linux

package servers

import "os/exec"

func dieWithParent(*exec.Cmd) {}

// fileLimit is a guess where there is no way to know that all systems share.
func fileLimit() uint64 { return 1024 }
