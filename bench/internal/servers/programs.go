package servers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"github.com/windhover-server/windhover/bench/internal/content"
)

// noCode says why nginx and h2o miss scenarios.
const noCode = "it runs no handler of ours: it answers fixed text and files"

func nginx() *Server {
	return &Server{
		Name: "nginx", Title: "nginx", Kind: Peer, Handler: "configuration",
		Features: Plaintext | JSON | Bytes | Static | TLS, Lacks: noCode,
		Available: installed("nginx"),
		Version:   programVersion("nginx", "-v"),
		Serve: func(ctx context.Context, opt Options) error {
			return serveProgram(ctx, opt, nginxConfig, func(conf, dir string) *exec.Cmd {
				return exec.CommandContext(ctx, "nginx", "-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log"))
			})
		},
	}
}

func h2o() *Server {
	return &Server{
		Name: "h2o", Title: "h2o", Kind: Peer, Handler: "configuration",
		Features: Plaintext | JSON | Bytes | Static | TLS, Lacks: noCode,
		Available: installed("h2o"),
		Version:   programVersion("h2o", "--version"),
		Serve: func(ctx context.Context, opt Options) error {
			return serveProgram(ctx, opt, h2oConfig, func(conf, _ string) *exec.Cmd {
				return exec.CommandContext(ctx, "h2o", "-c", conf)
			})
		},
	}
}

func installed(program string) func() error {
	return func() error {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed", program)
		}
		return nil
	}
}

var versionNumber = regexp.MustCompile(`\d+\.\d+(\.\d+)?`)

func programVersion(program, flag string) func() string {
	return func() string {
		out, err := exec.Command(program, flag).CombinedOutput()
		if err != nil {
			return ""
		}
		return versionNumber.FindString(string(out))
	}
}

// serveProgram writes the configuration, starts the program and waits for it
// to accept connections.
func serveProgram(ctx context.Context, opt Options, config func(Options, string) string, command func(conf, dir string) *exec.Cmd) error {
	dir, err := os.MkdirTemp("", "windhover-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if opt.Addr, err = fixedPort(opt.Addr); err != nil {
		return err
	}
	conf := filepath.Join(dir, "server.conf")
	if err := os.WriteFile(conf, []byte(config(opt, dir)), 0o644); err != nil {
		return err
	}
	cmd := command(conf, dir)
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Second
	dieWithParent(cmd)
	// The parent's death is noticed per thread: keep the one that forks.
	runtime.LockOSThread()
	if err := cmd.Start(); err != nil {
		return err
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	if err := awaitAccept(ctx, opt.Addr, exited); err != nil {
		return fmt.Errorf("%w\n%s", err, strings.TrimSpace(log.String()))
	}
	opt.Ready(opt.Addr)
	err = <-exited
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("%s ended: %w\n%s", filepath.Base(cmd.Path), err, strings.TrimSpace(log.String()))
}

// fixedPort replaces port 0 by a free one: other programs do not tell which
// they got.
func fixedPort(addr string) (string, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

func awaitAccept(ctx context.Context, addr string, exited <-chan error) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	late := time.After(10 * time.Second)
	for {
		if c, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
			return c.Close()
		}
		select {
		case <-tick.C:
		case err := <-exited:
			return fmt.Errorf("it ended at once: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		case <-late:
			return errors.New("it did not accept connections within 10 s")
		}
	}
}

func nginxConfig(opt Options, dir string) string {
	ssl, certs := "", ""
	if opt.TLS {
		ssl = " ssl"
		certs = fmt.Sprintf("ssl_certificate %s;\n\tssl_certificate_key %s;\n\tssl_protocols TLSv1.2 TLSv1.3;\n",
			filepath.Join(opt.Assets, content.CertFile), filepath.Join(opt.Assets, content.KeyFile))
	}
	return fmt.Sprintf(`daemon off;
worker_processes %d;
worker_rlimit_nofile %d;
pid %s/nginx.pid;
error_log %[3]s/error.log warn;
events { worker_connections 18000; }
http {
	access_log off;
	client_body_temp_path %[3]s/body;
	proxy_temp_path %[3]s/proxy;
	fastcgi_temp_path %[3]s/fastcgi;
	uwsgi_temp_path %[3]s/uwsgi;
	scgi_temp_path %[3]s/scgi;
	sendfile on;
	tcp_nopush on;
	keepalive_timeout 300s;
	keepalive_requests 1000000000;
	default_type %s;
	%s
	server {
		listen %s%s backlog=4096;
		root %s;
		location = %s { default_type "%s"; return 200 "%s"; }
		location = %s { default_type "%s"; return 200 '%s'; }
		location / { }
	}
}
`, runtime.NumCPU(), fileLimit(), dir, content.BinaryType, certs, opt.Addr, ssl, filepath.Join(opt.Assets, content.RootDir),
		content.PathPlaintext, content.TextType, content.Hello,
		content.PathJSON, content.JSONType, content.JSON())
}

func h2oConfig(opt Options, dir string) string {
	host, port, _ := net.SplitHostPort(opt.Addr)
	ssl := ""
	if opt.TLS {
		ssl = fmt.Sprintf("  ssl:\n    certificate-file: %s\n    key-file: %s\n",
			filepath.Join(opt.Assets, content.CertFile), filepath.Join(opt.Assets, content.KeyFile))
	}
	root := filepath.Join(opt.Assets, content.RootDir)
	return fmt.Sprintf(`num-threads: %d
max-connections: 18000
http1-request-timeout: 300
error-log: %s/error.log
pid-file: %[2]s/h2o.pid
listen:
  host: %s
  port: %s
%shosts:
  default:
    paths:
      %s:
        file.file: %s
        file.mime.setdefaulttype: "%s"
      %s:
        file.file: %s
        file.mime.setdefaulttype: %s
      /:
        file.dir: %s
`, runtime.NumCPU(), dir, host, port, ssl,
		content.PathPlaintext, filepath.Join(root, "plaintext"), content.TextType,
		content.PathJSON, filepath.Join(root, "json"), content.JSONType, root)
}
