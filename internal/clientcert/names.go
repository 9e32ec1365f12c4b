package clientcert

import (
	"crypto/x509"
	"slices"
)

// Attributes are what filters know of a certificate's subject, sorted: the
// attributes of its distinguished name by their usual short names, and SAN, the
// alternative names. S is another name for ST.
var Attributes = []string{"C", "CN", "DC", "E", "L", "O", "OU", "S", "SAN", "ST", "STREET", "UID"}

// SAN is the attribute of the alternative names.
const SAN = "SAN"

var attributeTypes = map[string]string{
	"2.5.4.3": "CN", "2.5.4.6": "C", "2.5.4.7": "L", "2.5.4.8": "ST", "2.5.4.9": "STREET",
	"2.5.4.10": "O", "2.5.4.11": "OU",
	"0.9.2342.19200300.100.1.1": "UID", "0.9.2342.19200300.100.1.25": "DC",
	"1.2.840.113549.1.9.1": "E",
}

// Subject returns what the certificate says of its bearer, by attribute: a text
// for an attribute that is there once, a list of texts for one that is there
// several times, and always a list for SAN, which holds DNS names, e-mail
// addresses, IP addresses and URIs. What is not there is left out.
func Subject(x *x509.Certificate) map[string]any {
	values := map[string][]string{}
	for _, a := range x.Subject.Names {
		name := attributeTypes[a.Type.String()]
		if text, ok := a.Value.(string); ok && name != "" {
			values[name] = append(values[name], text)
		}
	}
	if st := values["ST"]; st != nil {
		values["S"] = st
	}
	out := map[string]any{}
	for name, list := range values {
		if len(list) == 1 {
			out[name] = list[0]
		} else {
			out[name] = list
		}
	}
	san := slices.Concat(x.DNSNames, x.EmailAddresses)
	for _, ip := range x.IPAddresses {
		san = append(san, ip.String())
	}
	for _, u := range x.URIs {
		san = append(san, u.String())
	}
	out[SAN] = san
	return out
}

// Identifier returns the first value of the attribute, or "": what stands for
// the bearer in logs.
func Identifier(subject map[string]any, attribute string) string {
	switch v := subject[attribute].(type) {
	case string:
		return v
	case []string:
		if len(v) > 0 {
			return v[0]
		}
	}
	return ""
}
