package tlsbridge

import (
	"runtime"
	"strings"
)

// TrustStep is a way to make programs on this machine trust a development
// certificate.
type TrustStep struct {
	// For says whom it helps, such as "Chromium, Chrome".
	For string
	// Commands are what to type, in order.
	Commands []string
	// Note, if any, says what the commands do not.
	Note string
	// Root reports that the commands need administrator rights.
	Root bool
}

// TrustSteps returns the ways for an operating system (a GOOS; "" is this
// one's) to trust the certificate at path.
func TrustSteps(goos, path string) []TrustStep {
	if goos == "" {
		goos = runtime.GOOS
	}
	q := quote(goos, path)
	steps := []TrustStep{{
		For:      "curl, for one request",
		Commands: []string{"curl --cacert " + q + " https://localhost:5001/"},
	}}
	switch goos {
	case "darwin", "ios":
		return append(steps, TrustStep{
			For:      "Safari, Chrome and what else uses the login keychain",
			Commands: []string{"security add-trusted-cert -r trustRoot -p ssl -k ~/Library/Keychains/login.keychain-db " + q},
			Note:     "macOS asks for your password. To undo: security remove-trusted-cert " + q,
		}, firefox)
	case "windows":
		return append(steps, TrustStep{
			For:      "Edge, Chrome and what else uses the user's certificate store",
			Commands: []string{"certutil -user -addstore Root " + q},
			Note:     "Windows asks for confirmation. To undo: certutil -user -delstore Root localhost",
		}, firefox)
	}
	nss := TrustStep{
		For: "Chromium, Chrome",
		Commands: []string{
			"mkdir -p ~/.pki/nssdb",
			"certutil -d sql:$HOME/.pki/nssdb -A -t P,, -n windhover-localhost -i " + q,
		},
		Note: "certutil is in the package libnss3-tools (Debian, Ubuntu), nss-tools (Fedora) or nss (Arch). To undo: certutil -d sql:$HOME/.pki/nssdb -D -n windhover-localhost",
	}
	if goos != "linux" {
		return append(steps, nss, firefox)
	}
	return append(steps, nss, firefox,
		TrustStep{
			For:      "curl, wget, Go, Python and others (Debian, Ubuntu, Alpine)",
			Commands: []string{"sudo cp " + q + " /usr/local/share/ca-certificates/windhover-localhost.crt", "sudo update-ca-certificates"},
			Root:     true,
		},
		TrustStep{
			For:      "curl, wget, Go, Python and others (Fedora, RHEL)",
			Commands: []string{"sudo cp " + q + " /etc/pki/ca-trust/source/anchors/windhover-localhost.pem", "sudo update-ca-trust"},
			Root:     true,
		},
		TrustStep{
			For:      "curl, wget, Go, Python and others (Arch)",
			Commands: []string{"sudo trust anchor " + q},
			Root:     true,
		})
}

// firefox keeps its own store, which takes authorities only.
var firefox = TrustStep{
	For:  "Firefox",
	Note: "open https://localhost:5001/, choose Advanced, then Accept the Risk and Continue; Firefox remembers it",
}

// TrustText is TrustSteps as text for a terminal.
func TrustText(goos, path string) string {
	var b strings.Builder
	b.WriteString("The certificate is signed by itself. Until it is trusted, clients warn.\nTrust it for:\n")
	for _, s := range TrustSteps(goos, path) {
		b.WriteString("\n  " + s.For)
		if s.Root {
			b.WriteString(" (needs administrator rights)")
		}
		b.WriteString("\n")
		for _, c := range s.Commands {
			b.WriteString("    " + c + "\n")
		}
		if s.Note != "" {
			b.WriteString("    (" + s.Note + ")\n")
		}
	}
	return b.String()
}

// quote writes a path for the shell of goos.
func quote(goos, path string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(`/\:._-+,@%`, r)
	}
	if strings.IndexFunc(path, func(r rune) bool { return !plain(r) }) < 0 {
		return path
	}
	if goos == "windows" {
		return `"` + path + `"`
	}
	return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
}
