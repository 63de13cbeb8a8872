package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/knadh/koanf/parsers/json"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/rawbytes"
	"github.com/knadh/koanf/v2"
)

// keySeparator joins the parts of a key inside this file. Host names, which
// are keys of tls.sni, hold dots; nothing holds this.
const keySeparator = "\x1f"

// fileValues are the settings of a file, by their dotted keys; named ones by
// group and name.
type fileValues struct {
	name   string
	plain  map[string]any
	groups map[string]map[string]map[string]any // "endpoints" -> name -> key
}

// groupKeys are the sections whose members the user names.
var groupKeys = map[string]string{"endpoints": "endpoints", "tls" + keySeparator + "sni": "tls.sni"}

func parserFor(path string) (koanf.Parser, error) {
	switch strings.ToLower(filepath.Ext(path)) {
	case ".yaml", ".yml":
		return yaml.Parser(), nil
	case ".toml":
		return toml.Parser(), nil
	case ".json":
		return json.Parser(), nil
	}
	return nil, fmt.Errorf("configuration file %s: its name must end in .yaml, .yml, .toml or .json", path)
}

func readFile(path string) (*fileValues, error) {
	parser, err := parserFor(path)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("configuration file %s does not exist; give one that does, or none", path)
	}
	if err != nil {
		return nil, fmt.Errorf("configuration file: %w", err)
	}
	k := koanf.New(keySeparator)
	if err := k.Load(rawbytes.Provider(content), parser); err != nil {
		return nil, fmt.Errorf("configuration file %s: %s", path, oneLine(err.Error()))
	}
	values := &fileValues{name: path, plain: make(map[string]any), groups: make(map[string]map[string]map[string]any)}
	for key, v := range k.All() {
		values.add(key, v)
	}
	return values, nil
}

func (f *fileValues) add(key string, v any) {
	for section, group := range groupKeys {
		rest, ok := strings.CutPrefix(key, section+keySeparator)
		if !ok {
			continue
		}
		name, member, _ := strings.Cut(rest, keySeparator)
		if f.groups[group] == nil {
			f.groups[group] = make(map[string]map[string]any)
		}
		if f.groups[group][name] == nil {
			f.groups[group][name] = make(map[string]any)
		}
		if member != "" {
			f.groups[group][name][strings.ReplaceAll(member, keySeparator, ".")] = v
		}
		return
	}
	f.plain[strings.ReplaceAll(key, keySeparator, ".")] = v
}

// names returns the members of a group in a stable order.
func (f *fileValues) names(group string) []string {
	return slices.Sorted(maps.Keys(f.groups[group]))
}

// texts returns the texts of a value as the option table takes them. A missing
// value (YAML's null) counts as not set.
func texts(v any) (out []string, set bool, err error) {
	switch v := v.(type) {
	case nil:
		return nil, false, nil
	case string:
		return []string{v}, true, nil
	case bool:
		return []string{strconv.FormatBool(v)}, true, nil
	case float64:
		return []string{strconv.FormatFloat(v, 'f', -1, 64)}, true, nil
	case int, int64, uint64:
		return []string{fmt.Sprint(v)}, true, nil
	case []any:
		for _, item := range v {
			one, _, err := texts(item)
			if err != nil || len(one) != 1 {
				return nil, true, allowed("a value or a list of values")
			}
			out = append(out, one[0])
		}
		return out, true, nil
	}
	return nil, true, allowed("a value or a list of values")
}

// unknownKey is the error for a key that no row of the table has.
func unknownKey(file, key string, known []string) error {
	if near := nearest(key, known); near != "" {
		return fmt.Errorf("configuration file %s: unknown key %q; did you mean %q?", file, key, near)
	}
	return fmt.Errorf("configuration file %s: unknown key %q; \"windhover config\" shows the known ones", file, key)
}

// nearest returns the known key that a typing error of a few letters, or a
// wrong section, has turned into key.
func nearest(key string, known []string) string {
	best, bestDistance := "", len(key)/3+1
	for _, k := range known {
		if d := editDistance(key, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	if best != "" {
		return best
	}
	last := key[strings.LastIndexByte(key, '.')+1:]
	for _, k := range known {
		if k == last || strings.HasSuffix(k, "."+last) {
			return k
		}
	}
	return ""
}

// editDistance is Levenshtein's.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(row[j]+1, row[j+1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}

// oneLine folds the lines of a parser's message into one.
func oneLine(s string) string {
	return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '\n' || r == '\r' }), " ")
}
