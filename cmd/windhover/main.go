// Command windhover serves directories, passes requests to other servers, and
// tells how this host can serve.
//
//	windhover [DIR]            serve a directory
//	windhover hello            answer every request with "Hello World!"
//	windhover proxy UPSTREAM   pass requests to another server
//	windhover doctor           say which transport this host gets, and why
//	windhover dev-cert         make a certificate for https://localhost
//	windhover config           print the effective configuration
//	windhover upgrade          replace a running windhover without a gap
//	windhover version          print the version
//
// The exit status is 0, 2 for a command line or configuration that cannot be
// used, and 1 for what fails at run time; either way standard error gets one
// line that names the input and the remedy.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/listen"
	"github.com/windhover-server/windhover/proto"
	"github.com/windhover-server/windhover/tlsbridge"
)

const (
	exitRuntime = 1
	exitUsage   = 2
)

// usageError is an input that must be changed before it makes sense to try
// again.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// program is what commands see of the process.
type program struct {
	stdout, stderr io.Writer
	lookup         func(string) (string, bool) // os.LookupEnv
}

func main() {
	p := &program{stdout: os.Stdout, stderr: os.Stderr, lookup: os.LookupEnv}
	os.Exit(p.run(os.Args[1:]))
}

// run returns the exit status.
func (p *program) run(args []string) int {
	root := p.rootCommand()
	root.SetArgs(args)
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	err := root.Execute()
	if err == nil {
		return 0
	}
	_, _ = fmt.Fprintln(p.stderr, "windhover: "+oneLine(err)) // nothing is left to tell if this fails
	return exitStatus(err)
}

// exitStatus tells an input that cannot be used anywhere from what fails here
// and now.
func exitStatus(err error) int {
	var usage usageError
	var prefix *listen.PrefixError
	var limit *proto.LimitError
	var tls *tlsbridge.ConfigError
	if errors.As(err, &usage) || errors.As(err, &prefix) || errors.As(err, &limit) || errors.As(err, &tls) {
		return exitUsage
	}
	return exitRuntime
}

// packages are the prefixes of errors that tell a user nothing.
var packages = []string{"windhover: ", "listen: ", "tlsbridge: ", "proto: ", "ring: "}

// oneLine shows joined errors in one line.
func oneLine(err error) string {
	lines := strings.FieldsFunc(err.Error(), func(r rune) bool { return r == '\n' || r == '\r' })
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
		for _, pkg := range packages {
			lines[i] = strings.ReplaceAll(strings.TrimPrefix(lines[i], pkg), ": "+pkg, ": ")
		}
	}
	return strings.Join(lines, "; ")
}

func (p *program) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "windhover [DIR]",
		Short: "Serve a directory over HTTP",
		Long: `Windhover serves the current directory, or DIR, on http://localhost:5000.

Every flag has an environment form, --max-request-line-size being
WINDHOVER_MAX_REQUEST_LINE_SIZE, and a place in a configuration file, which
"windhover config" shows. Flags win over the environment, that over the file.`,
		Args:          usageArgs(cobra.MaximumNArgs(1), "give one directory, or a command that --help lists"),
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.serve(cmd, args, p.siteContent)
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w; \"%s --help\" lists the flags", err, cmd.CommandPath())}
	})
	config.AddFlags(root.Flags())
	root.AddCommand(p.helloCommand(), p.proxyCommand(), p.configCommand(),
		p.doctorCommand(), p.devCertCommand(), p.upgradeCommand(), p.versionCommand())
	return root
}

// usageArgs makes a usage error of too many arguments.
func usageArgs(check cobra.PositionalArgs, remedy string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{fmt.Errorf("unexpected argument %q; %s", args[len(args)-1], remedy)}
		}
		return nil
	}
}

func (p *program) helloCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "hello",
		Short: `Answer every request with "Hello World!"`,
		Args:  usageArgs(cobra.NoArgs, "hello takes none (values of flags: --flag=value)"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.serve(cmd, args, helloContent)
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) proxyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "proxy UPSTREAM",
		Short: `Pass requests to another server, such as http://localhost:3000 or unix:/run/app.sock`,
		Args:  usageArgs(cobra.MaximumNArgs(1), "give one upstream"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.serve(cmd, args, proxyContent)
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

func (p *program) configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration and print it, with where each value comes from",
		Args:  usageArgs(cobra.NoArgs, "config takes none (values of flags: --flag=value)"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags(), p.lookup)
			if err != nil {
				return usageError{err}
			}
			return cfg.Print(p.stdout)
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}
