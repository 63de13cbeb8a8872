//go:build !unix

package e2e

const tunnelClient = "WINDHOVER_E2E_TUNNELS"

func runTunnelClient(string) error { return nil }
