// Command conformance checks an HTTP/1.1 server on the wire: it sends the bytes
// of the cases under cases/ and compares what comes back with what they allow.
// See README.md for the case format and for the application the server has to
// mount.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"sync"
	"time"
)

// options are the flags that choose cases and output; config has those that
// concern the connection.
type options struct {
	cases, known, run, skip, tag string
	slow, json, list, strict     bool
	par                          int
}

func parseFlags() (*config, *options) {
	cfg, opt := &config{}, &options{}
	flag.StringVar(&cfg.addr, "addr", "127.0.0.1:8080", "`host:port` of the server under test")
	flag.StringVar(&cfg.unix, "unix", "", "`path` of a Unix domain socket to use instead of -addr")
	flag.BoolVar(&cfg.tls, "tls", false, "speak TLS (the certificate is not verified)")
	flag.StringVar(&opt.cases, "cases", "", "`directory` (or one file) with the cases; the default are those built in")
	flag.StringVar(&opt.known, "known", "", "`file` with the cases that may fail, one \"area/id # reason\" a line")
	flag.StringVar(&opt.run, "run", "", "run only the cases whose area/id matches this `regexp`")
	flag.StringVar(&opt.skip, "skip", "", "leave out the cases whose area/id matches this `regexp`")
	flag.StringVar(&opt.tag, "tag", "", "run only the cases with this `tag` (parser: needs no more than a parser and the basic endpoints)")
	flag.BoolVar(&opt.slow, "slow", false, "also run the cases that take longer than about five seconds")
	flag.StringVar(&cfg.split, "split", "", "replay each case a second time with its bytes delivered in `mode` byte or random, and want the same results")
	flag.Int64Var(&cfg.seed, "seed", 1, "seed of -split random")
	flag.DurationVar(&cfg.splitDelay, "split-delay", 50*time.Microsecond, "rest after a fragment in the split modes")
	flag.DurationVar(&cfg.timeout, "timeout", 3*time.Second, "time limit for a response or a close")
	flag.DurationVar(&cfg.keepAlive, "keepalive", 3*time.Second, "the keep-alive timeout the server was started with")
	flag.DurationVar(&cfg.headersTimeout, "headers-timeout", 4*time.Second, "the request headers timeout the server was started with")
	flag.IntVar(&opt.par, "j", 8, "cases in flight at once")
	flag.BoolVar(&opt.json, "json", false, "print the results as JSON instead of a table")
	flag.BoolVar(&cfg.verbose, "v", false, "print every case, remarks, and transcripts of failures")
	flag.BoolVar(&opt.list, "list", false, "list the cases and exit")
	flag.BoolVar(&opt.strict, "strict", false, "exit 1 on a failed should as well")
	flag.Parse()
	if flag.NArg() > 0 {
		fatal("unexpected argument %q", flag.Arg(0))
	}
	if cfg.split != "" && cfg.split != "byte" && cfg.split != "random" {
		fatal("-split must be byte or random")
	}
	return cfg, opt
}

func main() {
	cfg, opt := parseFlags()
	all, err := loadCases(opt.cases)
	if err != nil {
		fatal("%v", err)
	}
	var known map[string]string
	if opt.known != "" {
		if known, err = loadKnown(opt.known, all); err != nil {
			fatal("%v", err)
		}
	}
	sel, skipped, err := choose(all, opt)
	if err != nil {
		fatal("%v", err)
	}
	if opt.list {
		listCases(os.Stdout, sel)
		return
	}
	if len(sel) == 0 {
		fatal("no case selected")
	}
	w, err := dial(cfg)
	if err != nil {
		fatal("cannot connect to the server: %v", err)
	}
	w.close()

	results := playAll(sel, cfg, opt.par)
	n := tally(results, known)
	if opt.json {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", " ")
		enc.Encode(map[string]any{"cases": results, "failed_must": n.must, "failed_should": n.should, "known": n.known, "split": cfg.split})
	} else {
		printReport(os.Stdout, results, skipped, cfg)
		n.print(os.Stdout)
	}
	if n.must > 0 || opt.strict && n.should > 0 {
		os.Exit(1)
	}
}

// choose selects the cases that the flags ask for, and counts by area those
// left out for being slow.
func choose(all []*Case, opt *options) (sel []*Case, skipped map[string]int, err error) {
	keep, err := regexp.Compile(opt.run)
	if err != nil {
		return nil, nil, fmt.Errorf("-run: %v", err)
	}
	drop, err := regexp.Compile(opt.skip)
	if err != nil {
		return nil, nil, fmt.Errorf("-skip: %v", err)
	}
	skipped = map[string]int{}
	for _, c := range all {
		name := c.name()
		switch {
		case !keep.MatchString(name), opt.skip != "" && drop.MatchString(name), opt.tag != "" && !slices.Contains(c.Tags, opt.tag):
		case c.Slow && !opt.slow:
			skipped[c.Area]++
		default:
			sel = append(sel, c)
		}
	}
	return sel, skipped, nil
}

func listCases(w io.Writer, cases []*Case) {
	for _, c := range cases {
		fmt.Fprintf(w, "%-6s %s\n       %s [%s]\n", c.Severity, c.name(), c.Why, c.Ref)
	}
}

// playAll runs the cases, par at once.
func playAll(sel []*Case, cfg *config, par int) []*result {
	results := make([]*result, len(sel))
	var wg sync.WaitGroup
	next := make(chan int)
	for range max(1, par) {
		wg.Go(func() {
			for k := range next {
				results[k] = runCase(sel[k], cfg)
			}
		})
	}
	// The long ones first, so that they run beside the rest.
	for _, long := range []bool{true, false} {
		for k, c := range sel {
			if slices.Contains(c.Tags, "long") == long {
				next <- k
			}
		}
	}
	close(next)
	wg.Wait()
	return results
}

func fatal(format string, a ...any) {
	fmt.Fprintf(os.Stderr, "conformance: "+format+"\n", a...)
	os.Exit(2)
}
