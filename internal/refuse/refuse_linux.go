//go:build linux

package refuse

import (
	"os"
	"os/exec"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// env tells a child process which system calls to lose, and which program to
// become then.
const env = "WINDHOVER_TEST_REFUSE"

func init() {
	if how := os.Getenv(env); how != "" {
		become(how)
	}
}

// Command is cmd in a process to which the kernel answers the system calls
// with errno: as a seccomp profile of a container does. cmd is changed: it runs
// this test binary first, whose init installs the filter and executes the
// program that cmd names.
func Command(cmd *exec.Cmd, errno syscall.Errno, calls ...uintptr) {
	words := []string{strconv.Itoa(int(errno))}
	for _, c := range calls {
		words = append(words, strconv.Itoa(int(c)))
	}
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, env+"="+strings.Join(words, ",")+" "+cmd.Path)
	cmd.Path = "/proc/self/exe"
}

// become installs the filter and turns this process into the program.
func become(how string) {
	runtime.LockOSThread()
	list, path, _ := strings.Cut(how, " ")
	var numbers []uint32
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.ParseUint(s, 10, 32)
		check(err)
		numbers = append(numbers, uint32(n))
	}
	check(install(unix.Errno(numbers[0]), numbers[1:]))
	check(os.Unsetenv(env))
	check(syscall.Exec(path, os.Args, os.Environ()))
}

func check(err error) {
	if err != nil {
		println("refusing system calls:", err.Error())
		os.Exit(125)
	}
}

// install has the kernel answer calls with errno on this thread and in the
// programs it executes.
func install(errno unix.Errno, calls []uint32) error {
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the system call's number
	}
	for _, c := range calls {
		filter = append(filter,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: c, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(errno)})
	}
	filter = append(filter, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	prog := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, reflect.ValueOf(prog).Pointer(), 0, 0)
	runtime.KeepAlive(prog)
	return err
}
