package main

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// ownCases are the cases that come with the runner, so that it needs no
// particular working directory.
//
//go:embed cases/*.json
var ownCases embed.FS

// loadCases reads every *.json file of dir (or the one file dir names), or,
// when dir is empty, the cases built in.
func loadCases(dir string) ([]*Case, error) {
	fsys, names, err := caseFiles(dir)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: no *.json files", dir)
	}
	var all []*Case
	seen := map[string]string{}
	for _, name := range names {
		f, err := readFile(fsys, name)
		if err != nil {
			return nil, err
		}
		for _, c := range f.Cases {
			if c.Area == "" {
				c.Area = f.Area
			}
			if err := c.validate(); err != nil {
				return nil, fmt.Errorf("%s: %s: %v", name, c.ID, err)
			}
			if other, dup := seen[c.ID]; dup {
				return nil, fmt.Errorf("%s: case id %s is also in %s", name, c.ID, other)
			}
			seen[c.ID] = name
			all = append(all, c)
		}
	}
	return all, nil
}

func caseFiles(dir string) (fsys fs.FS, names []string, err error) {
	if dir == "" {
		names, err = fs.Glob(ownCases, "cases/*.json")
		return ownCases, names, err
	}
	st, err := os.Stat(dir)
	if err != nil {
		return nil, nil, err
	}
	if !st.IsDir() {
		return os.DirFS(filepath.Dir(dir)), []string{filepath.Base(dir)}, nil
	}
	fsys = os.DirFS(dir)
	names, err = fs.Glob(fsys, "*.json")
	return fsys, names, err
}

func readFile(fsys fs.FS, name string) (*File, error) {
	b, err := fs.ReadFile(fsys, name)
	if err != nil {
		return nil, err
	}
	f := new(File)
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(f); err != nil {
		return nil, fmt.Errorf("%s: %v", path.Base(name), err)
	}
	return f, nil
}

// loadKnown reads a list of cases that may fail: one "area/id # reason" a
// line. A line without a reason, or one that names no case, is an error: a
// list nobody can explain hides regressions.
func loadKnown(name string, all []*Case) (map[string]string, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	exists := map[string]bool{}
	for _, c := range all {
		exists[c.name()] = true
	}
	known := map[string]string{}
	for i, line := range strings.Split(string(b), "\n") {
		id, reason, _ := strings.Cut(line, "#")
		id, reason = strings.TrimSpace(id), strings.TrimSpace(reason)
		switch {
		case id == "":
		case reason == "":
			return nil, fmt.Errorf("%s:%d: %s has no reason", name, i+1, id)
		case !exists[id]:
			return nil, fmt.Errorf("%s:%d: there is no case %s", name, i+1, id)
		default:
			known[id] = reason
		}
	}
	return known, nil
}

func (c *Case) name() string { return c.Area + "/" + c.ID }
