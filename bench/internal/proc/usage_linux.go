//go:build linux

package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Supported is nil where usage can be read.
func Supported() error { return nil }

// tick is what /proc counts processor time in: USER_HZ, 100 on all
// architectures that Go supports.
const tick = 10 * time.Millisecond

// family returns the processes that serve: the process itself, or what it has
// started. A server that is another program runs below one of ours that only
// waits for it.
func family(pid int) []int {
	pids := children(pid)
	for i := 0; i < len(pids); i++ {
		pids = append(pids, children(pids[i])...)
	}
	if len(pids) == 0 {
		return []int{pid}
	}
	return pids
}

// children are the processes that any thread of pid has forked. A kernel built
// without the file has none to tell.
func children(pid int) []int {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil
	}
	var pids []int
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			continue // the thread has ended
		}
		for _, f := range strings.Fields(string(b)) {
			if c, err := strconv.Atoi(f); err == nil {
				pids = append(pids, c)
			}
		}
	}
	return pids
}

// Usage reads the processor time that the server has used.
func (p *Process) Usage() (Usage, error) {
	var u Usage
	for _, pid := range family(p.Pid) {
		v, err := processUsage(pid)
		if err != nil {
			return Usage{}, err
		}
		u.Total += v.Total
		u.User += v.User
		u.System += v.System
	}
	return u, nil
}

func processUsage(pid int) (Usage, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, err
	}
	user, system, err := parseStat(b)
	if err != nil {
		return Usage{}, fmt.Errorf("/proc/%d/stat: %w", pid, err)
	}
	u := Usage{User: user, System: system, Total: user + system}
	// The same sum without the rounding: the process's clock, whose number
	// clock_getcpuclockid(3) computes like this.
	const cpuclockSched = 2
	var ts unix.Timespec
	if err := unix.ClockGettime(int32(^uint32(pid)<<3|cpuclockSched), &ts); err == nil {
		u.Total = time.Duration(ts.Nano())
	}
	return u, nil
}

// parseStat returns fields 14 and 15 of proc_pid_stat(5). The second field is
// a name in parentheses that may hold anything.
func parseStat(b []byte) (user, system time.Duration, err error) {
	i := bytes.LastIndexByte(b, ')')
	f := bytes.Fields(b[i+1:])
	if i < 0 || len(f) < 13 {
		return 0, 0, errors.New("too few fields")
	}
	var n [2]int64
	for i := range n {
		if n[i], err = strconv.ParseInt(string(f[11+i]), 10, 64); err != nil {
			return 0, 0, err
		}
	}
	return time.Duration(n[0]) * tick, time.Duration(n[1]) * tick, nil
}

// RSS reads the memory that the server has resident, in bytes.
func (p *Process) RSS() (int64, error) {
	var sum int64
	for _, pid := range family(p.Pid) {
		n, err := processRSS(pid)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// processRSS prefers smaps_rollup: statm's counters lag behind by up to 64
// pages per thread.
func processRSS(pid int) (int64, error) {
	if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid)); err == nil {
		for line := range bytes.Lines(b) {
			if v, ok := bytes.CutPrefix(line, []byte("Rss:")); ok {
				kib, err := strconv.ParseInt(string(bytes.Fields(v)[0]), 10, 64)
				return kib << 10, err
			}
		}
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	f := bytes.Fields(b)
	if len(f) < 2 {
		return 0, fmt.Errorf("/proc/%d/statm: too few fields", pid)
	}
	pages, err := strconv.ParseInt(string(f[1]), 10, 64)
	return pages * int64(os.Getpagesize()), err
}

// SelfUsage is the processor time of this process.
func SelfUsage() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}

// MachineUsage is the processor time of everything on the machine since it
// started; 0 if unknown. A virtual machine's stolen time counts.
func MachineUsage() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	f := bytes.Fields(b[:max(bytes.IndexByte(b, '\n'), 0)])
	// user nice system idle iowait irq softirq steal: proc_stat(5)
	var sum time.Duration
	for _, i := range []int{1, 2, 3, 6, 7, 8} {
		if i < len(f) {
			if n, err := strconv.ParseInt(string(f[i]), 10, 64); err == nil {
				sum += time.Duration(n) * tick
			}
		}
	}
	return sum
}

// FileLimit is how many files this process may have open.
func FileLimit() int {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 1024
	}
	return int(min(l.Cur, 1<<30))
}
