package main

import (
	"context"
	"os"

	"github.com/urfave/cli/v3"

	"github.com/windhover-server/windhover/bench/internal/report"
)

func compareCommand() *cli.Command {
	return &cli.Command{
		Name:      "compare",
		Usage:     "show what changed between two reports, and how sure that is",
		ArgsUsage: "OLD.json NEW.json",
		Action: func(_ context.Context, c *cli.Command) error {
			if c.Args().Len() != 2 {
				return usage("compare wants two files: compare OLD.json NEW.json (run writes report/report.json)")
			}
			var reps [2]*report.Report
			for i := range reps {
				var err error
				if reps[i], err = report.ReadJSON(c.Args().Get(i)); err != nil {
					return usageError{err}
				}
			}
			return report.Compare(os.Stdout, reps[0], reps[1])
		},
	}
}
