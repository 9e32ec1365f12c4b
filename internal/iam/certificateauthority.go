package iam

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/clientcert"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/random"
	"github.com/weirhq/weir/internal/store"
)

// Sources of revocation lists.
const (
	CRLSourceLocal = "LOCAL"
	CRLSourceURL   = "URL"
	// crlUploaded stands in crl_url for a list that was sent with the authority,
	// as the real service answers and its Terraform provider expects.
	crlUploaded = "Local file uploaded"
)

// CertificateAuthority signs the certificates that workloads show instead of a
// key. Private holds an AuthorityRecord. Its deletion takes its identity pools
// along, and so ends what their certificates may do.
//
// An update replaces the whole (openapi certificate-authority.v2), but for the
// chain: the CLI leaves it out to keep it. A list that was uploaded stays as
// long as crl_url comes back as it was answered.
var CertificateAuthority = &engine.Kind{
	Group: "iam", Version: "v2", Name: "CertificateAuthority",
	Description: "A certificate authority signs certificates that workloads authenticate with. Whom they stand for is said by its identity pools.",
	Path:        "/iam/v2/certificate-authorities",
	Operations: map[engine.Verb]string{
		engine.List:   "listIamV2CertificateAuthorities",
		engine.Create: "createIamV2CertificateAuthority",
		engine.Read:   "getIamV2CertificateAuthority",
		engine.Update: "updateIamV2CertificateAuthority",
		engine.Delete: "deleteIamV2CertificateAuthority",
	},
	ID:        engine.IDShape{Prefix: "op-", Length: 6, Alphabet: random.MixedAlphanumeric},
	Segment:   "certificate-authority",
	Resource:  "CertificateAuthority",
	UniqueKey: chainIdentity,
	NameTaken: "The organization has a certificate authority with these certificates already",
	Quotas: []*engine.Quota{{
		Code: "iam.max_certificate_authorities.per_org", Scope: engine.PerOrganization, DisplayName: "Certificate Authorities Per Organization", Limit: 25,
	}},
	Fields: []engine.Field{
		{
			Name: "display_name", Required: true, MinLength: 1,
			Description: "The certificate authority's name for people.", Example: "Workloads",
		},
		{
			Name: "description", Always: true,
			Description: "What the certificate authority is for.", Example: "Signs the certificates of our services",
		},
		{
			Name: "certificate_chain", Required: true, WriteOnly: true, MinLength: 1, MaxLength: clientcert.MaxChain,
			Description: "The certificates that sign those of clients, in PEM. In an update it may be left out, and stays.",
			Example:     "-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----",
		},
		{
			Name: "certificate_chain_filename", Always: true, MaxLength: 255,
			Description: "The name of the file that the chain came from, for people.", Example: "authority.pem",
		},
		{
			Name: "crl_chain", WriteOnly: true, MaxLength: clientcert.MaxCRL,
			Description: "The list of revoked certificates, in PEM. It counts before crl_url.",
			Example:     "-----BEGIN X509 CRL-----\n…\n-----END X509 CRL-----",
		},
		{
			Name: "crl_url", MaxLength: 2048,
			Description: "Where the list of revoked certificates is fetched from, over HTTP or HTTPS. Where the list was uploaded, a text that says so.",
			Example:     "https://pki.example.com/workloads.crl",
		},
		{
			Name: "require_crl_on_client_certificate", Type: engine.Boolean, Default: false,
			Description: "Whether clients are refused while there is no list of revoked certificates that still counts.",
		},
		{
			Name: "fingerprints", Type: engine.Array, ReadOnly: true, Required: true,
			Items:       &engine.Field{Description: "The SHA-1 of one certificate, in hexadecimal."},
			Description: "The SHA-1 of each certificate of the chain.", Example: []any{"5B1C968BD4F49D622AA89A81F2150152A41D829C"},
		},
		{
			Name: "serial_numbers", Type: engine.Array, ReadOnly: true, Required: true,
			Items:       &engine.Field{Description: "The serial number of one certificate, in hexadecimal."},
			Description: "The serial number of each certificate of the chain.", Example: []any{"119C542DE8F6EC7177FA4EE8C3705797"},
		},
		{
			Name: "expiration_dates", Type: engine.Array, ReadOnly: true, Required: true,
			Items:       &engine.Field{Type: engine.Timestamp, Description: "When one certificate ends."},
			Description: "When each certificate of the chain ends.", Example: []any{"2036-11-26T00:00:00.000000Z"},
		},
		{
			Name: "crl_source", ReadOnly: true, Enum: []string{CRLSourceLocal, CRLSourceURL},
			Description: "Where the list of revoked certificates comes from.",
		},
		{
			Name: "crl_updated_at", Type: engine.Timestamp, ReadOnly: true,
			Description: "When the list of revoked certificates was last uploaded or fetched.",
		},
		{
			Name: "state", ReadOnly: true, Required: true, Enum: []string{stateEnabled},
			Description: "Always ENABLED.", Example: stateEnabled,
		},
	},
	Links: chainLinks,
	Hooks: engine.Hooks{Validate: checkAuthority, BeforeWrite: settleAuthority},
}

// AuthorityRecord is what is kept with a certificate authority and never sent.
type AuthorityRecord struct {
	// Chain is the chain in PEM as it was sent, CRL the list of revoked
	// certificates as sent or fetched, or nothing.
	Chain string `json:"chain"`
	CRL   []byte `json:"crl,omitempty"`
	// Fetched is when CRL was fetched, Next when its issuer promised another: zero
	// for one that was not fetched, or has no end.
	Fetched time.Time `json:"fetched,omitzero"`
	Next    time.Time `json:"next,omitzero"`
}

// dropCRL forgets the list of revoked certificates.
func (r *AuthorityRecord) dropCRL() { r.CRL, r.Fetched, r.Next = nil, time.Time{}, time.Time{} }

// Encode returns the record as stored bytes.
func (r AuthorityRecord) Encode() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(fmt.Sprintf("iam: encode authority record: %v", err)) // text always encodes
	}
	return b
}

// DecodeAuthorityRecord reads what Encode returned.
func DecodeAuthorityRecord(b []byte) (AuthorityRecord, error) {
	var r AuthorityRecord
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("iam: stored authority record cannot be read: %w", err)
	}
	return r, nil
}

// AuthorityOf returns what certificates are checked against.
func AuthorityOf(o *engine.Object) (*clientcert.Authority, error) {
	r, err := DecodeAuthorityRecord(o.Private)
	if err != nil {
		return nil, err
	}
	chain, err := clientcert.ParseChain(r.Chain)
	if err != nil {
		return nil, fmt.Errorf("iam: a stored chain %w", err)
	}
	a := &clientcert.Authority{Chain: chain}
	a.RequireCRL, _ = o.Doc.Get("require_crl_on_client_certificate").(bool)
	if len(r.CRL) > 0 {
		if a.CRL, err = chain.ParseCRL(string(r.CRL)); err != nil {
			return nil, fmt.Errorf("iam: a stored revocation list %w", err)
		}
	}
	return a, nil
}

// CRLTimes returns when the authority's list of revoked certificates was fetched,
// or the zero time where it was not, and when its issuer promised another.
func CRLTimes(o *engine.Object) (fetched, next time.Time, err error) {
	r, err := DecodeAuthorityRecord(o.Private)
	return r.Fetched, r.Next, err
}

// chainIdentity keeps one organization from having the same authority twice:
// the pools of which one a certificate belongs to could not be told then.
func chainIdentity(o *engine.Object) string {
	prints, _ := o.Doc.Get("fingerprints").([]any)
	var names []string
	for _, p := range prints {
		names = append(names, fmt.Sprint(p))
	}
	slices.Sort(names)
	sum := sha256.Sum256([]byte(strings.Join(names, " ")))
	return hex.EncodeToString(sum[:])
}

// subjectTarget is what the entries that find authorities by whom they can have
// signed refer to, in place of a kind.
const subjectTarget = "certificate.subject"

// SubjectHash is the form of a certificate's raw subject or issuer by which
// AuthoritiesNamed finds authorities.
func SubjectHash(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func subjectKey(hash string) store.Key { return store.Key{Kind: subjectTarget, ID: hash} }

// AuthoritiesNamed returns the authorities of every organization that have a
// certificate with the subject, at most limit of them.
func AuthoritiesNamed(ctx context.Context, r store.Reader, hash string, limit int) ([]store.Key, error) {
	rows, err := r.Referrers(ctx, subjectKey(hash), limit)
	if err != nil {
		return nil, err
	}
	var keys []store.Key
	for _, row := range rows {
		if row.Kind == CertificateAuthority.Key() {
			keys = append(keys, row.Key)
		}
	}
	return keys, nil
}

func chainLinks(o *engine.Object) []engine.Link {
	r, err := DecodeAuthorityRecord(o.Private)
	if err != nil {
		return nil
	}
	chain, err := clientcert.ParseChain(r.Chain)
	if err != nil {
		return nil
	}
	var links []engine.Link
	for _, subject := range chain.Subjects() {
		links = append(links, engine.Link{Field: subjectTarget, To: subjectKey(SubjectHash(subject))})
	}
	return links
}

// crlChange is what an update says of the revocation list.
type crlChange struct {
	upload, url string
	// keep is set where the answer's own text came back.
	keep bool
}

func crlOf(w *engine.Write) crlChange {
	c := crlChange{upload: w.New.Doc.String("crl_chain"), url: w.New.Doc.String("crl_url")}
	if c.url == crlUploaded {
		c.url, c.keep = "", c.upload == "" && w.Old != nil && w.Old.Doc.String("crl_source") == CRLSourceLocal
	}
	return c
}

// record is what is kept of the authority before the change.
func record(w *engine.Write) (AuthorityRecord, error) {
	if w.Old == nil {
		return AuthorityRecord{}, nil
	}
	return DecodeAuthorityRecord(w.Old.Private)
}

// checkAuthority reads what was sent in PEM.
func checkAuthority(w *engine.Write) []api.Problem {
	var problems []api.Problem
	fail := func(field, message string) {
		problems = append(problems, api.Problem{Message: "The field '" + field + "' " + message, Pointer: "/" + field})
	}
	before, err := record(w)
	if err != nil {
		return nil // settleAuthority tells
	}
	text := w.New.Doc.String("certificate_chain")
	if text == "" {
		text = before.Chain
	}
	if text == "" {
		return nil // missing or wrong, which is reported already
	}
	chain, err := clientcert.ParseChain(text)
	if err != nil {
		fail("certificate_chain", err.Error())
		return problems
	}
	c := crlOf(w)
	if c.upload != "" {
		if _, err := chain.ParseCRL(c.upload); err != nil {
			fail("crl_chain", err.Error())
		}
	}
	if c.url != "" {
		if u, err := url.Parse(c.url); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			fail("crl_url", "must be a URL that begins with http:// or https://")
		}
	}
	if c.keep {
		if _, err := chain.ParseCRL(string(before.CRL)); err != nil {
			fail("crl_chain", "is needed anew: the list that was uploaded before is not signed by a certificate of the new chain")
		}
	}
	if required, _ := w.New.Doc.Get("require_crl_on_client_certificate").(bool); required && c.upload == "" && c.url == "" && !c.keep {
		fail("crl_url", "or 'crl_chain' is needed where 'require_crl_on_client_certificate' is true")
	}
	return problems
}

// settleAuthority fills in what the certificates say, and keeps them. Who changes
// the chain, or what is revoked, decides who is in the pools, and so must be
// somebody who could grant what the pools hold, as with a filter.
func settleAuthority(ctx context.Context, w *engine.Write) error {
	before, err := record(w)
	if err != nil {
		return err
	}
	r, doc := before, w.New.Doc
	if text := doc.String("certificate_chain"); text != "" {
		r.Chain = text
	}
	chain, err := clientcert.ParseChain(r.Chain)
	if err != nil {
		return fmt.Errorf("iam: a checked chain %w", err)
	}
	c := crlOf(w)
	switch {
	case c.upload != "":
		if string(r.CRL) != c.upload || doc.String("crl_source") != CRLSourceLocal {
			doc.Set("crl_updated_at", api.Timestamp(w.Now))
		}
		r.dropCRL()
		r.CRL = []byte(c.upload)
		doc.Set("crl_source", CRLSourceLocal)
		doc.Set("crl_url", crlUploaded)
	case c.keep:
	case c.url != "":
		// Another list, or another chain, which has not signed it: it is to be
		// fetched anew.
		_, err := chain.ParseCRL(string(r.CRL))
		if w.Old == nil || w.Old.Doc.String("crl_url") != c.url || err != nil {
			r.dropCRL()
			doc.Set("crl_updated_at", nil)
		}
		doc.Set("crl_source", CRLSourceURL)
	default:
		r.dropCRL()
		doc.Set("crl_source", nil)
		doc.Set("crl_url", nil)
		doc.Set("crl_updated_at", nil)
	}
	doc.Set("certificate_chain", nil)
	doc.Set("crl_chain", nil)
	doc.Set("fingerprints", list(chain.Fingerprints(), same))
	doc.Set("serial_numbers", list(chain.SerialNumbers(), same))
	doc.Set("expiration_dates", list(chain.ExpirationDates(), api.Timestamp))
	doc.Set("state", stateEnabled)
	w.New.Private = r.Encode()
	if w.Old == nil || admitsAsBefore(w, before, r) {
		return nil
	}
	return mustControlPools(ctx, w)
}

// admitsAsBefore reports whether the update leaves alone who is let in.
func admitsAsBefore(w *engine.Write, before, after AuthorityRecord) bool {
	for _, field := range []string{"crl_source", "crl_url", "require_crl_on_client_certificate"} {
		if w.Old.Doc.Get(field) != w.New.Doc.Get(field) {
			return false
		}
	}
	return before.Chain == after.Chain && bytes.Equal(before.CRL, after.CRL)
}

// mustControlPools is mustControl for all pools of an authority.
func mustControlPools(ctx context.Context, w *engine.Write) error {
	if w.Caller == nil {
		return nil
	}
	pools, err := w.Tx.List(ctx, store.Query{
		Org: w.New.Org, Kind: certificatePoolID.Key, Limit: maxHeld,
		Where: []store.Condition{{Field: store.FieldParent, Values: []string{w.New.ID}}},
	})
	if err != nil {
		return err
	}
	for _, p := range pools {
		if err := mustControl(ctx, w, p.ID); err != nil {
			return err
		}
	}
	return nil
}

func same(s string) string { return s }

func list[T any](values []T, text func(T) string) []any {
	out := make([]any, len(values))
	for i, v := range values {
		out[i] = text(v)
	}
	return out
}

// errOldCRL is the error of a fetched list that is older than the one that is
// known: somebody on the way could otherwise bring back what was revoked since.
var errOldCRL = errors.New("iam: the fetched revocation list is older than the one that is there")

// StoreCRL keeps a list of revoked certificates that was fetched from the URL. It
// does nothing, and answers store.ErrNotFound, where the authority is gone or has
// another URL by now. Other errors say what is wrong with the list.
func StoreCRL(ctx context.Context, e *engine.Engine, tx store.Tx, org, id, from string, fetched []byte) error {
	o, err := e.Lock(ctx, tx, org, CertificateAuthority, id)
	if err != nil {
		return err
	}
	if o.Doc.String("crl_source") != CRLSourceURL || o.Doc.String("crl_url") != from {
		return store.ErrNotFound
	}
	r, err := DecodeAuthorityRecord(o.Private)
	if err != nil {
		return err
	}
	chain, err := clientcert.ParseChain(r.Chain)
	if err != nil {
		return fmt.Errorf("iam: a stored chain %w", err)
	}
	parsed, err := chain.ParseCRL(string(fetched))
	if err != nil {
		return fmt.Errorf("iam: the fetched revocation list %w", err)
	}
	if len(r.CRL) > 0 {
		if known, err := chain.ParseCRL(string(r.CRL)); err == nil && parsed.ThisUpdate.Before(known.ThisUpdate) {
			return errOldCRL
		}
	}
	r.CRL, r.Fetched, r.Next = fetched, e.Now().UTC(), parsed.NextUpdate.UTC()
	if parsed.NextUpdate.IsZero() {
		r.Next = time.Time{}
	}
	o.Private = r.Encode()
	o.Doc.Set("crl_updated_at", api.Timestamp(r.Fetched))
	return e.Save(ctx, tx, o)
}
