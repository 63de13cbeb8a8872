package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// Error is a setting whose value cannot be used.
type Error struct {
	Name    string // as the user wrote it: "--rings", "WINDHOVER_RINGS", "rings in FILE"
	Value   string
	Allowed string
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s is %q; allowed: %s", e.Name, e.Value, e.Allowed)
}

// flagValue collects what a flag is given; Load parses it.
type flagValue struct {
	given    []string
	defaults string
	kind     string
	many     bool
}

func (f *flagValue) String() string { return f.defaults }
func (f *flagValue) Type() string   { return f.kind }

func (f *flagValue) Set(s string) error {
	if !f.many {
		f.given = f.given[:0]
	}
	f.given = append(f.given, s)
	return nil
}

// AddFlags defines a flag for each setting that has one.
func AddFlags(fs *pflag.FlagSet) {
	fs.String("config", "", "configuration file (.yaml, .toml or .json; WINDHOVER_CONFIG)")
	for _, o := range Default().options() {
		if o.flag == "" {
			continue
		}
		v := &flagValue{kind: "value", defaults: strings.Join(o.value.texts(), ";")}
		switch o.value.(type) {
		case list, networks:
			v.kind, v.many = "list", true
		}
		f := fs.VarPF(v, o.flag, "", o.usage)
		if v.defaults == "true" || v.defaults == "false" {
			f.NoOptDefVal = "true"
			v.kind = "bool"
		}
	}
}

// Load layers flags that were given over the environment over the file over
// the defaults, and checks the result. lookup is os.LookupEnv, or stands for it.
func Load(flags *pflag.FlagSet, lookup func(string) (string, bool)) (*Config, error) {
	c := Default()
	path, err := filePath(flags, lookup)
	if err != nil {
		return nil, err
	}
	table := c.options()
	file := &fileValues{}
	if path != "" {
		if file, err = readFile(path); err != nil {
			return nil, err
		}
		c.file = path
		if err := c.setAll(file, "", file.plain, table); err != nil {
			return nil, err
		}
	}
	for _, o := range table {
		if err := c.loadEnv(o, lookup); err != nil {
			return nil, err
		}
		if err := c.loadFlag(o, flags); err != nil {
			return nil, err
		}
	}
	// Endpoints start from the defaults for all of them, which flags and
	// variables may have changed.
	if err := c.loadEndpoints(file); err != nil {
		return nil, err
	}
	if err := c.loadSNI(file); err != nil {
		return nil, err
	}
	if err := c.readPasswords(); err != nil {
		return nil, err
	}
	return c, c.validate()
}

func filePath(flags *pflag.FlagSet, lookup func(string) (string, bool)) (string, error) {
	if f := flags.Lookup("config"); f != nil && f.Changed {
		if f.Value.String() == "" {
			return "", errors.New("--config is empty; give a file")
		}
		return f.Value.String(), nil
	}
	path, _ := lookup(envPrefix + "CONFIG")
	return path, nil
}

func (c *Config) set(o option, name, source string, values []string) error {
	if err := o.value.set(values); err != nil {
		shown := strings.Join(values, ";")
		if _, hidden := o.value.(scalar); hidden && strings.HasSuffix(o.key, "password") {
			shown = "(hidden)"
		}
		return &Error{Name: name, Value: shown, Allowed: err.Error()}
	}
	c.sources[o.key] = source
	return nil
}

func (c *Config) loadEnv(o option, lookup func(string) (string, bool)) error {
	name := o.variable()
	if name == "" {
		return nil
	}
	text, ok := lookup(name)
	if !ok || text == "" {
		return nil // an empty variable is how many tools say "not set"
	}
	return c.set(o, name, fromEnvironment+name, []string{text})
}

func (c *Config) loadFlag(o option, flags *pflag.FlagSet) error {
	f := flags.Lookup(o.flag)
	if o.flag == "" || f == nil || !f.Changed {
		return nil
	}
	return c.set(o, "--"+o.flag, fromFlag+"--"+o.flag, f.Value.(*flagValue).given)
}

func (c *Config) loadEndpoints(file *fileValues) error {
	for _, name := range file.names("endpoints") {
		values := file.groups["endpoints"][name]
		e := NamedEndpoint{Name: name, Endpoint: c.Defaults}
		if _, own := values["certificate.path"]; own {
			e.Certificate = Certificate{} // a password or key of another one does not fit
		}
		prefix := "endpoints." + name + "."
		table := append([]option{{key: prefix + "url", value: text(&e.URL)}}, e.options(prefix, false)...)
		if err := c.setAll(file, prefix, values, table); err != nil {
			return err
		}
		if e.URL == "" {
			return fmt.Errorf("endpoints.%s in %s has no url", name, file.name)
		}
		c.Endpoints = append(c.Endpoints, e)
	}
	return nil
}

func (c *Config) loadSNI(file *fileValues) error {
	for _, host := range file.names("tls.sni") {
		var cert Certificate
		prefix := "tls.sni." + host + "."
		if err := c.setAll(file, prefix, file.groups["tls.sni"][host], cert.options(prefix, "")); err != nil {
			return err
		}
		if cert.Path == "" {
			return fmt.Errorf("tls.sni.%s in %s has no path", host, file.name)
		}
		if c.TLS.SNI == nil {
			c.TLS.SNI = make(map[string]Certificate)
		}
		c.TLS.SNI[host] = cert
	}
	return nil
}

// setAll gives the values of one section to their options and reports the
// first key that is not one. Every key is looked at in a stable order.
func (c *Config) setAll(file *fileValues, prefix string, values map[string]any, table []option) error {
	known := make([]string, len(table))
	for i, o := range table {
		known[i] = o.key
	}
	keys := make([]string, 0, len(values))
	for key := range values {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		full := prefix + key
		i := slices.Index(known, full)
		if i < 0 {
			if isSection(full, known) {
				if emptySection(values[key]) {
					continue
				}
				return sectionError(file.name, full, values[key], known)
			}
			return unknownKey(file.name, full, known)
		}
		if err := c.setFromFile(file.name, table[i], values[key]); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) setFromFile(path string, o option, v any) error {
	name := o.key + " in " + path
	list, set, err := texts(v)
	if err != nil {
		return &Error{Name: name, Value: fmt.Sprint(v), Allowed: err.Error()}
	}
	if !set {
		return nil
	}
	if _, isText := v.(string); !isText {
		if _, quoted := o.value.(fileMode); quoted {
			return &Error{Name: name, Value: fmt.Sprint(v), Allowed: fileModeAllowed.Error()}
		}
	}
	return c.set(o, name, fromFile+path, list)
}

func isSection(key string, known []string) bool {
	return key == "endpoints" || key == "tls.sni" ||
		slices.ContainsFunc(known, func(k string) bool { return strings.HasPrefix(k, key+".") })
}

// sectionError is for a value where the keys of a section should be.
func sectionError(path, key string, v any, known []string) error {
	want := "names, each with the keys of its own"
	if i := slices.IndexFunc(known, func(k string) bool { return strings.HasPrefix(k, key+".") }); i >= 0 {
		want = fmt.Sprintf("a section with keys such as %q", known[i])
	}
	return &Error{Name: key + " in " + path, Value: fmt.Sprint(v), Allowed: want}
}

func emptySection(v any) bool {
	m, isMap := v.(map[string]any)
	return v == nil || isMap && len(m) == 0
}

// readPasswords replaces password files by what they hold.
func (c *Config) readPasswords() error {
	certificates := []*Certificate{&c.Defaults.Certificate}
	for i := range c.Endpoints {
		certificates = append(certificates, &c.Endpoints[i].Certificate)
	}
	for _, cert := range certificates {
		if err := cert.readPassword(); err != nil {
			return err
		}
	}
	for host, cert := range c.TLS.SNI {
		if err := cert.readPassword(); err != nil {
			return err
		}
		c.TLS.SNI[host] = cert
	}
	return nil
}

func (c *Certificate) readPassword() error {
	if c.PasswordFile == "" {
		return nil
	}
	if c.Password != "" {
		return fmt.Errorf("certificate %s has both a password and a password file; give one", c.Path)
	}
	content, err := os.ReadFile(c.PasswordFile)
	if err != nil {
		return fmt.Errorf("password file: %w", err)
	}
	c.Password = strings.TrimRight(string(content), "\r\n")
	return nil
}
