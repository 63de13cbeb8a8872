// Command bench measures Windhover beside other HTTP servers, each in a process
// of its own, with a load generator of its own, and writes a report.
//
//	go run . run        measure, and write report/
//	go run . serve      run one server, for other load generators
//	go run . compare    what changed between two reports
//	go run . list       servers and scenarios
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v3"
)

// Exit codes: 0 all measured; 1 something failed; 2 wrong usage.
const (
	exitFailed = 1
	exitUsage  = 2
)

// usageError is an error that the user mends by other arguments.
type usageError struct{ error }

func usage(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second ctrl-C ends the program the hard way.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args))
}

// run runs the program and returns its exit code.
func run(ctx context.Context, args []string) int {
	err := command().Run(ctx, args)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "bench: interrupted")
		return exitFailed
	}
	fmt.Fprintln(os.Stderr, "bench:", strings.TrimSpace(err.Error()))
	if ue := (usageError{}); errors.As(err, &ue) {
		return exitUsage
	}
	return exitFailed
}

func command() *cli.Command {
	root := &cli.Command{
		Name:  "bench",
		Usage: "measures Windhover beside other HTTP servers",
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Present() {
				return usage("no command %q; use run, serve, compare or list", c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
		Commands:       []*cli.Command{runCommand(), serveCommand(), compareCommand(), listCommand()},
		ExitErrHandler: func(context.Context, *cli.Command, error) {}, // run prints and decides
	}
	for _, c := range append(root.Commands, root) {
		c.OnUsageError = func(_ context.Context, c *cli.Command, err error, _ bool) error {
			return usage("%v; see %s -help", err, c.FullName())
		}
	}
	return root
}

// noArguments refuses arguments that are not flags.
func noArguments(c *cli.Command) error {
	if c.Args().Present() {
		return usage("%s takes no argument %q; see %s -help", c.FullName(), c.Args().First(), c.FullName())
	}
	return nil
}
