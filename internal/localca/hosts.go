package localca

import (
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// hostNames are the names of a server, in the two forms that certificates have.
type hostNames struct {
	dns []string
	ips []net.IP
}

// parseHosts checks the hosts and adds those by which a server can always be
// reached from its own machine. Order and repetition do not matter.
func parseHosts(hosts []string) (hostNames, error) {
	n := hostNames{
		dns: []string{"localhost"},
		ips: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, host := range hosts {
		if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
			if ip := net.IP(addr.Unmap().AsSlice()); !slices.ContainsFunc(n.ips, ip.Equal) {
				n.ips = append(n.ips, ip)
			}
			continue
		}
		name := strings.ToLower(strings.TrimSuffix(host, "."))
		if !isDNSName(name) {
			return hostNames{}, fmt.Errorf("certificate host %q is neither a DNS name nor an IP address: "+
				"leave out scheme, port, brackets and zone, and write international names in their xn-- form", host)
		}
		if !slices.Contains(n.dns, name) {
			n.dns = append(n.dns, name)
		}
	}
	return n, nil
}

// isDNSName reports whether s can stand in a certificate as a DNS name. The
// underscore is no part of host names but is met in practice.
func isDNSName(s string) bool {
	if len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	if labels[0] == "*" && len(labels) > 1 {
		labels = labels[1:]
	}
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return false
		}
		for _, c := range label {
			if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
				return false
			}
		}
	}
	// What ends in a number is a mistyped address to every client.
	last := labels[len(labels)-1]
	return strings.Trim(last, "0123456789") != ""
}

// coveredBy reports whether the certificate has all of the names.
func (n hostNames) coveredBy(cert *x509.Certificate) bool {
	for _, name := range n.dns {
		if !slices.Contains(cert.DNSNames, name) {
			return false
		}
	}
	for _, ip := range n.ips {
		if !slices.ContainsFunc(cert.IPAddresses, ip.Equal) {
			return false
		}
	}
	return true
}
