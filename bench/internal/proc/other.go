//go:build !linux

package proc

import (
	"errors"
	"os"
	"os/exec"
	"time"
)

// Supported is nil where usage can be read.
func Supported() error { return ErrNoProc }

// Usage reads the processor time that the server has used.
func (p *Process) Usage() (Usage, error) { return Usage{}, ErrNoProc }

// RSS reads the memory that the server has resident, in bytes.
func (p *Process) RSS() (int64, error) { return 0, ErrNoProc }

// SelfUsage is the processor time of this process; 0 if unknown.
func SelfUsage() time.Duration { return 0 }

// MachineUsage is the processor time of everything on the machine; 0 if unknown.
func MachineUsage() time.Duration { return 0 }

// FileLimit is how many files this process may have open: a guess.
func FileLimit() int { return 1024 }

// PinSelf keeps this process on one processor.
func PinSelf(int) error { return errors.New("pinning processors needs Linux") }

// CPUs are the processors that this process may use; nil if unknown.
func CPUs() []int { return nil }

func startOn(cmd *exec.Cmd, _ int) error { return cmd.Start() }

func ownGroup(*exec.Cmd) {}

// terminate leaves it to the end of standard input, which has just been closed.
func terminate(*os.Process) {}

// Host tells the kernel's release, the processor's name and the bytes of
// memory; what is not known is empty.
func Host() (kernel, cpu string, memory int64) { return "", "", 0 }
