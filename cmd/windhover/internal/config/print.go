package config

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Print writes the effective configuration as YAML, each value with the place
// it comes from. It can be read back, except for passwords, which are hidden.
func (c *Config) Print(w io.Writer) error {
	root := &yaml.Node{Kind: yaml.MappingNode}
	for _, o := range c.options() {
		insert(root, strings.Split(o.key, "."), valueNode(o.value), c.Source(o.key))
	}
	for i := range c.Endpoints {
		e := &c.Endpoints[i]
		insert(root, []string{"endpoints", e.Name, "url"}, scalarNode(e.URL), fromFile+c.file)
		for _, o := range e.options("", false) {
			source := c.Source("endpoints." + e.Name + "." + o.key)
			if source == "default" {
				source = "endpoint-defaults"
			}
			insert(root, append([]string{"endpoints", e.Name}, strings.Split(o.key, ".")...), valueNode(o.value), source)
		}
	}
	for _, host := range slices.Sorted(maps.Keys(c.TLS.SNI)) {
		cert := c.TLS.SNI[host]
		for _, o := range cert.options("", "") {
			insert(root, []string{"tls", "sni", host, o.key}, valueNode(o.value), fromFile+c.file)
		}
	}
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return fmt.Errorf("printing the configuration: %w", err)
	}
	return enc.Close()
}

// insert puts node at path, making the maps on the way.
func insert(m *yaml.Node, path []string, node *yaml.Node, source string) {
	for _, name := range path[:len(path)-1] {
		m = child(m, name)
	}
	node.LineComment = source
	m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: path[len(path)-1]}, node)
}

func child(m *yaml.Node, name string) *yaml.Node {
	for i := 0; i < len(m.Content); i += 2 {
		if m.Content[i].Value == name {
			return m.Content[i+1]
		}
	}
	c := &yaml.Node{Kind: yaml.MappingNode}
	m.Content = append(m.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, c)
	return c
}

func valueNode(v value) *yaml.Node {
	switch v.(type) {
	case list, networks:
		n := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, s := range v.texts() {
			n.Content = append(n.Content, scalarNode(s))
		}
		return n
	case fileMode:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: v.texts()[0], Style: yaml.DoubleQuotedStyle}
	}
	return scalarNode(v.texts()[0])
}

func scalarNode(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(s)
	if plain(s) {
		n.Style, n.Tag = 0, "" // numbers and truth values need no quotes
	}
	return n
}

// plain reports whether s is a number or a truth value.
func plain(s string) bool {
	return s == "true" || s == "false" || s != "" && strings.Trim(s, "0123456789") == ""
}
