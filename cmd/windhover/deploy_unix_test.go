//go:build unix

package main_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// The settings that Containerfile and kubernetes.yaml make are ones that the
// program knows, and what they promise each other holds.

func TestContainerfileSettings(t *testing.T) {
	file := deployFile(t, "Containerfile")
	_, cmd, _ := strings.Cut(file, "\nCMD ")
	var args []string
	if err := json.Unmarshal([]byte(cmd), &args); err != nil || len(args) < 5 || args[0] != "/srv" {
		t.Fatalf("CMD %s: %v", cmd, err)
	}
	status, out, stderr := once(t, nil, append([]string{"config"}, args[1:]...)...)
	if status != 0 {
		t.Fatal(stderr)
	}
	var effective map[string]any
	if err := yaml.Unmarshal([]byte(out), &effective); err != nil {
		t.Fatal(err)
	}
	for _, url := range []any{at(effective, "urls").([]any)[0], at(effective, "admin", "url")} {
		_, port, _ := strings.Cut(url.(string), "*:")
		if expose := regexp.MustCompile(`(?m)^EXPOSE .*\b` + port + `\b`); port == "" || !expose.MatchString(file) {
			t.Errorf("%v is not exposed", url)
		}
	}
	if strings.Contains(file, "ENV WINDHOVER") {
		t.Error("a variable of the image would win over a configuration file")
	}
	if out, err := os.ReadFile(filepath.Join("..", "..", "go.mod")); err != nil || !strings.Contains(file, "golang:1.26") || !strings.Contains(string(out), "\ngo 1.26") {
		t.Error("the image's Go is not the module's")
	}
}

func TestKubernetesManifest(t *testing.T) {
	docs := map[string]map[string]any{}
	dec := yaml.NewDecoder(bytes.NewReader([]byte(deployFile(t, "kubernetes.yaml"))))
	for {
		var doc map[string]any
		if err := dec.Decode(&doc); err != nil {
			break
		}
		docs[doc["kind"].(string)] = doc
	}
	dir := write(t, map[string]string{"windhover.yaml": at(docs["ConfigMap"], "data", "windhover.yaml").(string)})
	status, out, stderr := once(t, nil, "config", "--config", filepath.Join(dir, "windhover.yaml"))
	if status != 0 {
		t.Fatal(stderr)
	}
	var effective map[string]any
	if err := yaml.Unmarshal([]byte(out), &effective); err != nil {
		t.Fatal(err)
	}
	spec := at(docs["Deployment"], "spec", "template", "spec")
	container := at(spec, "containers").([]any)[0]

	var drain time.Duration
	for _, key := range []string{"delay", "timeout"} {
		d, err := time.ParseDuration(at(effective, "shutdown", key).(string))
		if err != nil {
			t.Fatal(err)
		}
		drain += d
	}
	if grace := at(spec, "terminationGracePeriodSeconds").(int); time.Duration(grace)*time.Second <= drain {
		t.Errorf("grace period %d s, drain %v", grace, drain)
	}
	ports := map[string]int{}
	for _, p := range at(container, "ports").([]any) {
		ports[at(p, "name").(string)] = at(p, "containerPort").(int)
	}
	if urls := at(effective, "urls").([]any); urls[0] != "http://*:"+strconv.Itoa(ports["http"]) {
		t.Errorf("urls %v, port %d", urls, ports["http"])
	}
	if url := at(effective, "admin", "url"); url != "http://*:"+strconv.Itoa(ports["admin"]) {
		t.Errorf("admin %v, port %d", url, ports["admin"])
	}
	for probe, path := range map[string]string{"startupProbe": "/readyz", "readinessProbe": "/readyz", "livenessProbe": "/livez"} {
		if at(container, probe, "httpGet", "path") != path || at(container, probe, "httpGet", "port") != "admin" {
			t.Errorf("%s: %v", probe, at(container, probe))
		}
	}
	// The pod leaves the service before the listeners close.
	period, threshold := at(container, "readinessProbe", "periodSeconds").(int), at(container, "readinessProbe", "failureThreshold").(int)
	if delay, err := time.ParseDuration(at(effective, "shutdown", "delay").(string)); err != nil || time.Duration(period*threshold)*time.Second >= delay {
		t.Errorf("%d failures every %d s, delay %v %v", threshold, period, delay, err)
	}
}

func at(v any, path ...string) any {
	for _, key := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[key]
	}
	return v
}
