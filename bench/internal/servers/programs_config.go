package servers

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"text/template"

	"github.com/windhover-server/windhover/bench/internal/content"
)

// programData is what a configuration's template sees.
type programData struct {
	Dir, Root, Cert, Key string
	TLS                  bool
	Addr, Host, Port     string
	Workers              int
	Files                uint64
	AsRoot               bool // then it would drop to a user who may not read our files

	Plaintext, Hello, TextType, JSONPath, JSON, JSONType, BinaryType string
}

// writeConfig writes the configuration of a program to the file conf.
func writeConfig(conf string, t *template.Template, opt Options, dir string) error {
	host, port, err := net.SplitHostPort(opt.Addr)
	if err != nil {
		return err
	}
	f, err := os.Create(conf)
	if err != nil {
		return err
	}
	err = t.Execute(f, programData{
		Dir: dir, Root: filepath.Join(opt.Assets, content.RootDir),
		Cert: filepath.Join(opt.Assets, content.CertFile), Key: filepath.Join(opt.Assets, content.KeyFile),
		TLS: opt.TLS, Addr: opt.Addr, Host: host, Port: port,
		Workers: runtime.NumCPU(), Files: fileLimit(), AsRoot: os.Geteuid() == 0,
		Plaintext: content.PathPlaintext, Hello: content.Hello, TextType: content.TextType,
		JSONPath: content.PathJSON, JSON: string(content.JSON()), JSONType: content.JSONType, BinaryType: content.BinaryType,
	})
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// nginxConfig answers fixed text from memory and files with sendfile. Requests
// per connection are unlimited, as they are for the other servers.
var nginxConfig = template.Must(template.New("nginx").Parse(`daemon off;
{{if .AsRoot}}user root;{{end}}
worker_processes {{.Workers}};
worker_rlimit_nofile {{.Files}};
pid {{.Dir}}/nginx.pid;
error_log {{.Dir}}/error.log warn;
events { worker_connections 18000; }
http {
	access_log off;
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	sendfile on;
	tcp_nopush on;
	keepalive_timeout 300s;
	keepalive_requests 1000000000;
	default_type {{.BinaryType}};
	{{if .TLS}}ssl_certificate {{.Cert}};
	ssl_certificate_key {{.Key}};
	ssl_protocols TLSv1.2 TLSv1.3;{{end}}
	server {
		listen {{.Addr}}{{if .TLS}} ssl{{end}} backlog=4096;
		root {{.Root}};
		location = {{.Plaintext}} { default_type "{{.TextType}}"; return 200 "{{.Hello}}"; }
		location = {{.JSONPath}} { default_type "{{.JSONType}}"; return 200 '{{.JSON}}'; }
	}
}
`))

// h2oConfig answers everything from files: h2o has no fixed answers.
var h2oConfig = template.Must(template.New("h2o").Parse(`num-threads: {{.Workers}}
{{if .AsRoot}}user: root{{end}}
max-connections: 18000
http1-request-timeout: 300
listen:
  host: {{.Host}}
  port: {{.Port}}
{{if .TLS}}  ssl:
    certificate-file: {{.Cert}}
    key-file: {{.Key}}
{{end}}hosts:
  default:
    paths:
      {{.Plaintext}}:
        file.file: {{.Root}}/plaintext
        file.mime.setdefaulttype: "{{.TextType}}"
      {{.JSONPath}}:
        file.file: {{.Root}}/json
        file.mime.setdefaulttype: {{.JSONType}}
      /:
        file.dir: {{.Root}}
`))
