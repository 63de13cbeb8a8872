package ring

import (
	"fmt"
	"strings"
)

// Cause says why io_uring cannot be used.
type Cause uint8

const (
	// Usable: nothing is in the way.
	Usable Cause = iota
	// NotBuilt: the program was built for another system than Linux, or with
	// the noring tag.
	NotBuilt
	// NoSystemCall: the kernel does not know io_uring (ENOSYS): it is older
	// than 5.1 or built without it, or a sandbox pretends so.
	NoSystemCall
	// Denied: a seccomp filter or security module forbids it (EPERM or
	// EACCES), as the default profiles of container runtimes do.
	Denied
	// Disabled: the administrator switched it off (sysctl
	// kernel.io_uring_disabled).
	Disabled
	// TooOld: the kernel has io_uring but lacks something that is needed;
	// 6.0 has everything.
	TooOld
	// LockedMemory: RLIMIT_MEMLOCK is too small (ENOMEM; kernels before 5.12
	// charge rings to it).
	LockedMemory
	// FileLimit: no file descriptors are left (EMFILE or ENFILE).
	FileLimit
	// Failed: something else; the error tells.
	Failed
)

var causeText = [...]string{
	Usable:       "usable",
	NotBuilt:     "not part of this build",
	NoSystemCall: "unknown to the kernel, or hidden by a sandbox (ENOSYS)",
	Denied:       "denied by a seccomp filter or security module",
	Disabled:     "disabled by sysctl kernel.io_uring_disabled",
	TooOld:       "too old in this kernel (6.0 or later is needed)",
	LockedMemory: "short of locked memory (ulimit -l)",
	FileLimit:    "short of file descriptors (ulimit -n)",
	Failed:       "failing",
}

// String is a phrase that completes "io_uring is …".
func (c Cause) String() string {
	if int(c) < len(causeText) {
		return causeText[c]
	}
	return fmt.Sprintf("Cause(%d)", uint8(c))
}

// UnavailableError is the error of [New] when io_uring cannot be used. It
// matches [ErrUnsupported] with errors.Is when this build has no ring at all.
type UnavailableError struct {
	Cause Cause
	Err   error // the system call that failed; nil for NotBuilt
}

// Error implements error.
func (e *UnavailableError) Error() string {
	s := "ring: io_uring is " + e.Cause.String()
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

// Unwrap returns Err, or [ErrUnsupported] for NotBuilt.
func (e *UnavailableError) Unwrap() error {
	if e.Cause == NotBuilt {
		return ErrUnsupported
	}
	return e.Err
}

// Feature is something the ring can make use of.
type Feature struct {
	Name  string
	Since string // kernel version
	Need  bool   // without it, the ring is not used
	Found bool
	Cost  string // what its absence costs
}

// Report is what [Probe] found.
type Report struct {
	Kernel   string // release, as uname -r prints it; empty elsewhere
	Cause    Cause
	Err      error // *UnavailableError unless Cause is Usable
	Features []Feature
}

// Usable reports whether [New] can be expected to work.
func (r *Report) Usable() bool { return r.Cause == Usable }

// String is the report as lines of text for a person.
func (r *Report) String() string {
	var b strings.Builder
	if r.Kernel != "" {
		fmt.Fprintf(&b, "kernel: %s\n", r.Kernel)
	}
	fmt.Fprintf(&b, "io_uring: %s\n", r.Cause)
	if r.Err != nil {
		fmt.Fprintf(&b, "  %v\n", r.Err)
	}
	for _, f := range r.Features {
		switch {
		case f.Found:
			fmt.Fprintf(&b, "  have  %s (since %s)\n", f.Name, f.Since)
		case f.Need:
			fmt.Fprintf(&b, "  LACK  %s (since %s): needed\n", f.Name, f.Since)
		default:
			fmt.Fprintf(&b, "  lack  %s (since %s): %s\n", f.Name, f.Since, f.Cost)
		}
	}
	return b.String()
}
