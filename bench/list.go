package main

import (
	"context"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/urfave/cli/v3"

	"github.com/windhover-server/windhover/bench/internal/scenario"
	"github.com/windhover-server/windhover/bench/internal/servers"
)

func listCommand() *cli.Command {
	return &cli.Command{
		Name:  "list",
		Usage: "list the servers and the scenarios",
		Action: func(_ context.Context, c *cli.Command) error {
			if err := noArguments(c); err != nil {
				return err
			}
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "SERVER\tHANDLER\tVERSION\t")
			for _, s := range servers.All() {
				note := s.Version()
				if err := s.Available(); err != nil {
					note = "not here: " + err.Error()
				}
				fmt.Fprintf(w, "%s\t%s\t%s\t\n", s.Name, s.Handler, note)
			}
			fmt.Fprintln(w, "\t\t\t\nSCENARIO\tCONNECTIONS\tWHAT\t")
			for _, s := range scenario.All() {
				fmt.Fprintf(w, "%s\t%d\t%s: %s\t\n", s.Name, s.Conns, s.Title, s.About)
			}
			return w.Flush()
		},
	}
}
