package main

import (
	"fmt"
	"net"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/windhover-server/windhover/cmd/windhover/internal/config"
	"github.com/windhover-server/windhover/ring"
	"github.com/windhover-server/windhover/tlsbridge"
)

func (p *program) doctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say which transport this host gets, and why, and what else matters to a server",
		Args:  usageArgs(cobra.NoArgs, "doctor takes none"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.Load(cmd.Flags(), p.lookup)
			if err != nil {
				return usageError{err}
			}
			return p.doctor(cfg)
		},
	}
	config.AddFlags(cmd.Flags())
	return cmd
}

// doctor fails when the transport that was asked for cannot be had.
func (p *program) doctor(cfg *config.Config) error {
	report := ring.Probe()
	transport, why := chosen(cfg.Transport, report)
	var b strings.Builder
	fmt.Fprintf(&b, "windhover %s, %s %s/%s, %d processors\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.GOMAXPROCS(0))
	fmt.Fprintf(&b, "transport: %s (%s)\n%s", transport, why, report)
	for _, line := range []string{openFiles(), loopbacks(), devCertState()} {
		if line != "" {
			b.WriteString(line + "\n")
		}
	}
	if _, err := fmt.Fprint(p.stdout, b.String()); err != nil {
		return err
	}
	if transport == "none" {
		return fmt.Errorf("transport %q was asked for, but io_uring is %v; use --transport auto or portable", cfg.Transport, report.Cause)
	}
	return nil
}

// chosen says what a server with this setting would use here.
func chosen(asked string, report *ring.Report) (transport, why string) {
	switch {
	case asked == "portable":
		return "portable", "asked for"
	case report.Usable() && asked == "ring":
		return "ring", "asked for"
	case report.Usable():
		return "ring", "io_uring works here"
	case asked == "ring":
		return "none", "ring was asked for and cannot be used"
	}
	return "portable", "io_uring is " + report.Cause.String()
}

// loopbacks tells what "localhost" will be bound to.
func loopbacks() string {
	var have []string
	for _, l := range []struct{ name, address string }{{"IPv4", "127.0.0.1:0"}, {"IPv6", "[::1]:0"}} {
		if ln, err := net.Listen("tcp", l.address); err == nil {
			have = append(have, l.name)
			_ = ln.Close() // nothing has used it
		}
	}
	if len(have) == 0 {
		return "localhost: neither IPv4 nor IPv6 can be bound"
	}
	return "localhost: " + strings.Join(have, " and ")
}

func devCertState() string {
	dir, err := tlsbridge.DevCertDir()
	if err != nil {
		return ""
	}
	cert, err := tlsbridge.LoadDevCert(dir)
	if err != nil {
		return `development certificate: none ("windhover dev-cert" makes one)`
	}
	return "development certificate: good until " + cert.Leaf.NotAfter.Format("2006-01-02")
}
