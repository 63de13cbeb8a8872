package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/windhover-server/windhover/tlsbridge"
)

// devCertOptions are the flags of dev-cert.
type devCertOptions struct {
	dir, pfxPassword string
	renew            bool
}

func (p *program) devCertCommand() *cobra.Command {
	var opt devCertOptions
	cmd := &cobra.Command{
		Use:   "dev-cert",
		Short: "Make a development certificate for https://localhost, and say how to trust it",
		Long: `Makes a certificate for localhost and its key, which only you can read, unless
there is one that is still good. https endpoints without a certificate of their
own use it. Nothing is changed in any trust store: the steps for that are
printed.`,
		Args: usageArgs(cobra.NoArgs, "dev-cert takes none"),
		RunE: func(*cobra.Command, []string) error { return p.devCert(opt, time.Now()) },
	}
	flags := cmd.Flags()
	flags.StringVar(&opt.dir, "dir", "", "directory for the files; none: the user's configuration directory")
	flags.StringVar(&opt.pfxPassword, "pfx-password", "", "also write a PFX file, with this password")
	flags.BoolVar(&opt.renew, "renew", false, "make a new one even if there is a good one")
	return cmd
}

func (p *program) devCert(opt devCertOptions, now time.Time) error {
	dir, err := devCertDir(opt.dir)
	if err != nil {
		return err
	}
	cert, err := tlsbridge.LoadDevCert(dir)
	state := "There is a certificate"
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist) && !opt.renew:
		return fmt.Errorf("%w; --renew replaces it", err)
	case err != nil || opt.renew || cert.ExpiresSoon(now):
		state = "Made a certificate"
		if cert, err = tlsbridge.NewDevCert(now); err != nil {
			return err
		}
		if _, err := cert.Write(dir); err != nil {
			return err
		}
	}
	files := tlsbridge.DevCertificate(dir)
	_, _ = fmt.Fprintf(p.stdout, "%s for https://localhost, good until %s:\n  certificate  %s\n  key          %s\n",
		state, cert.Leaf.NotAfter.Format(time.DateOnly), files.Path, files.KeyPath)
	if opt.pfxPassword != "" {
		path, err := cert.WritePFX(dir, opt.pfxPassword)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(p.stdout, "  PFX          %s\n", path)
	}
	_, err = fmt.Fprintf(p.stdout, "\n%s\nNow: windhover --urls https://localhost:5001\n", tlsbridge.TrustText("", files.Path))
	return err
}

func devCertDir(dir string) (string, error) {
	if dir != "" {
		return dir, nil
	}
	return tlsbridge.DevCertDir()
}
