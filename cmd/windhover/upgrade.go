package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/cmd/windhover/internal/handover"
)

func (p *program) upgradeCommand() *cobra.Command {
	wait := handover.DefaultTimeout
	cmd := &cobra.Command{
		Use:   "upgrade",
		Short: "Replace the running windhover of --pid-file by a new process, without losing a request",
		Long: `Tells the windhover whose process id is in --pid-file to start its program
anew (with the flags it was started with, and the configuration file as it is
now), to hand it the listening sockets, and to drain when the new one serves.
SIGUSR2 does the same. If the new process does not start, the old one goes on.`,
		Args: usageArgs(cobra.NoArgs, "name the running windhover by --pid-file"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags(), p.lookup)
			if err != nil {
				return usageError{err}
			}
			if cfg.PIDFile == "" {
				return usageError{errors.New("upgrade needs --pid-file; start the server with it, too")}
			}
			return p.upgrade(cfg.PIDFile, wait)
		},
	}
	config.AddFlags(cmd.Flags())
	cmd.Flags().DurationVar(&wait, "wait", wait, "time for the new process to serve")
	return cmd
}

func (p *program) upgrade(pidFile string, limit time.Duration) error {
	old, err := readPID(pidFile)
	if err != nil {
		return err
	}
	if err := requestUpgrade(old); err != nil {
		return fmt.Errorf("process %d of %s: %w; is it running?", old, pidFile, err)
	}
	// The file is how the successor says that it serves.
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if pid, err := readPID(pidFile); err == nil && pid != old {
			_, err := fmt.Fprintf(p.stdout, "Process %d has taken over from %d.\n", pid, old)
			return err
		}
	}
	return fmt.Errorf("process %d did not hand over within %v; see its log", old, limit)
}

func readPID(path string) (int, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("pid file %s does not exist; start windhover with --pid-file", path)
	}
	if err != nil {
		return 0, fmt.Errorf("pid file: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil || pid <= 0 {
		return 0, fmt.Errorf("pid file %s does not hold a process id", path)
	}
	return pid, nil
}

// checkPID finds out early whether writePID will work: without the file, upgrade
// cannot find the server.
func checkPID(path string) error {
	if path == "" {
		return nil
	}
	probe := path + ".probe"
	f, err := os.Create(probe) // #nosec G304: the operator names it
	if err != nil {
		return fmt.Errorf("%s: %w", path, errors.Unwrap(err)) // an *fs.PathError
	}
	return errors.Join(f.Close(), os.Remove(probe))
}

// writePID replaces the file as a whole: its reader sees the old process id or
// the new one.
func writePID(path string) error {
	if path == "" {
		return nil
	}
	next := path + ".new"
	if err := os.WriteFile(next, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil { // #nosec G306: anybody may know it
		return fmt.Errorf("pid file: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("pid file: %w", err)
	}
	return nil
}

// removePID removes the file if it is still ours; a successor has put its own
// there.
func removePID(path string) {
	if path == "" {
		return
	}
	if pid, err := readPID(path); err == nil && pid == os.Getpid() {
		_ = os.Remove(path) // whoever reads it finds no such process
	}
}
