package issuer_test

import (
	"bytes"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/weirhq/weir/internal/issuer"
	"github.com/weirhq/weir/internal/issuer/issuertest"
)

const name = "https://login.example.com"

var now = time.Unix(1_800_000_000, 0)

// good are the claims of a good token, with more on top.
func good(more map[string]any) []byte {
	claims := map[string]any{"iss": name, "sub": "alice", "aud": "weir", "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Minute).Unix()}
	for k, v := range more {
		claims[k] = v
		if v == nil {
			delete(claims, k)
		}
	}
	body, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return body
}

// keySet is a key set of one RSA key and one for each curve, as it is read.
func keySet(t testing.TB) (keys []issuer.Key, private map[string]any) {
	t.Helper()
	private = map[string]any{
		"rsa": issuertest.RSA(0), "p256": issuertest.EC(t, elliptic.P256()), "p384": issuertest.EC(t, elliptic.P384()), "p521": issuertest.EC(t, elliptic.P521()),
	}
	var set jose.JSONWebKeySet
	for id, algorithm := range map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "p256": jose.ES256, "p384": jose.ES384, "p521": jose.ES512} {
		key := jose.JSONWebKey{Key: private[id], KeyID: id, Algorithm: string(algorithm)}
		set.Keys = append(set.Keys, key.Public())
	}
	body, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	keys, left, err := issuer.ParseKeys(body)
	if err != nil || left != 0 || len(keys) != 4 {
		t.Fatalf("the set is read as %d keys, %v", len(keys), err)
	}
	return keys, private
}

func verify(raw string, keys []issuer.Key) (map[string]any, error) {
	t, err := issuer.Parse(raw)
	if err != nil {
		return nil, err
	}
	return t.Verify(name, keys, now)
}

func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func TestVerify(t *testing.T) {
	t.Parallel()
	keys, private := keySet(t)
	for id, algorithm := range map[string]jose.SignatureAlgorithm{"rsa": jose.RS256, "p256": jose.ES256, "p384": jose.ES384, "p521": jose.ES512} {
		raw := issuertest.Sign(t, algorithm, private[id], map[string]any{"kid": id, "typ": "at+jwt"}, good(map[string]any{"groups": []string{"a"}}))
		claims, err := verify(raw, keys)
		if err != nil || claims["sub"] != "alice" || fmt.Sprint(claims["groups"]) != "[a]" {
			t.Errorf("%s: %v, %v", algorithm, claims, err)
		}
	}
	// Times are on the edge, and optional where they may be.
	for what, more := range map[string]map[string]any{
		"a second left":     {"exp": now.Unix() + 1},
		"no iat, no nbf":    {"iat": nil, "nbf": nil},
		"a clock that runs": {"iat": now.Add(time.Minute).Unix(), "nbf": now.Add(time.Minute).Unix()},
		"fractions":         {"exp": float64(now.Unix()) + 1.5},
		"no audience":       {"aud": nil},
	} {
		if _, err := verify(issuertest.Sign(t, jose.RS256, private["rsa"], map[string]any{"kid": "rsa"}, good(more)), keys); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestVerifyRefuses is the table of known attacks on tokens. docs/security.md
// names its rows.
func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	keys, private := keySet(t)
	rsa := private["rsa"]
	sign := func(headers map[string]any, payload []byte) string {
		if _, ok := headers["kid"]; !ok {
			headers["kid"] = "rsa"
		}
		return issuertest.Sign(t, jose.RS256, rsa, headers, payload)
	}
	header := map[string]any{}
	valid := sign(header, good(nil))
	parts := strings.Split(valid, ".")
	withHeader := func(h string) string { return encode(h) + "." + parts[1] + "." + parts[2] }
	// The public key as text is what a confused check would take for a secret.
	der, err := x509.MarshalPKIXPublicKey(&issuertest.RSA(0).PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	foreign := issuertest.RSA(1)
	foreignJWK := jose.JSONWebKey{Key: &foreign.PublicKey, KeyID: "rsa"}
	encrypter, err := jose.NewEncrypter(jose.A128GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: &issuertest.RSA(0).PublicKey}, (&jose.EncrypterOptions{}).WithContentType("JWT"))
	if err != nil {
		t.Fatal(err)
	}
	encrypted, err := encrypter.Encrypt([]byte(valid))
	if err != nil {
		t.Fatal(err)
	}
	nested, err := encrypted.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	text := string(good(nil))
	for attack, c := range map[string]struct {
		raw  string
		want error
	}{
		"alg none":                       {encode(`{"alg":"none","kid":"rsa"}`) + "." + parts[1] + ".", issuer.ErrForged},
		"alg None":                       {encode(`{"alg":"None","kid":"rsa"}`) + "." + parts[1] + ".", issuer.ErrForged},
		"alg none with a signature":      {withHeader(`{"alg":"none","kid":"rsa"}`), issuer.ErrForged},
		"no alg":                         {withHeader(`{"kid":"rsa"}`), issuer.ErrForged},
		"HS256 with the public key":      {issuertest.Sign(t, jose.HS256, publicPEM, map[string]any{"kid": "rsa"}, good(nil)), issuer.ErrForged},
		"HS256 with the modulus":         {issuertest.Sign(t, jose.HS256, issuertest.RSA(0).N.Bytes(), map[string]any{"kid": "rsa"}, good(nil)), issuer.ErrForged},
		"another algorithm of the key":   {issuertest.Sign(t, jose.PS256, rsa, map[string]any{"kid": "rsa"}, good(nil)), issuer.ErrForged},
		"a longer hash":                  {issuertest.Sign(t, jose.RS512, rsa, map[string]any{"kid": "rsa"}, good(nil)), issuer.ErrForged},
		"an EC key in place of the RSA":  {issuertest.Sign(t, jose.ES256, private["p256"], map[string]any{"kid": "rsa"}, good(nil)), issuer.ErrForged},
		"another key of the set":         {issuertest.Sign(t, jose.ES256, private["p256"], map[string]any{"kid": "p384"}, good(nil)), issuer.ErrForged},
		"a foreign key, known kid":       {issuertest.Sign(t, jose.RS256, foreign, map[string]any{"kid": "rsa"}, good(nil)), issuer.ErrForged},
		"a foreign key, its own kid":     {issuertest.Sign(t, jose.RS256, foreign, map[string]any{"kid": "mine"}, good(nil)), issuer.ErrUnknownKey},
		"kid of SQL":                     {sign(map[string]any{"kid": "' OR 1=1 --"}, good(nil)), issuer.ErrUnknownKey},
		"kid of a path":                  {sign(map[string]any{"kid": "../../../dev/null"}, good(nil)), issuer.ErrUnknownKey},
		"kid of a URL":                   {sign(map[string]any{"kid": "http://127.0.0.1/key"}, good(nil)), issuer.ErrUnknownKey},
		"kid of NUL":                     {sign(map[string]any{"kid": "rsa\x00"}, good(nil)), issuer.ErrUnknownKey},
		"no kid":                         {issuertest.Sign(t, jose.RS256, rsa, nil, good(nil)), issuer.ErrForged},
		"an empty kid":                   {sign(map[string]any{"kid": ""}, good(nil)), issuer.ErrForged},
		"kid that is a number":           {withHeader(`{"alg":"RS256","kid":1}`), issuer.ErrForged},
		"kid twice":                      {withHeader(`{"alg":"RS256","kid":"x","kid":"rsa"}`), issuer.ErrForged},
		"jwk in the header":              {issuertest.Sign(t, jose.RS256, foreign, map[string]any{"kid": "rsa", "jwk": foreignJWK}, good(nil)), issuer.ErrForged},
		"jku in the header":              {issuertest.Sign(t, jose.RS256, foreign, map[string]any{"kid": "rsa", "jku": "http://127.0.0.1:1/"}, good(nil)), issuer.ErrForged},
		"x5u in the header":              {issuertest.Sign(t, jose.RS256, foreign, map[string]any{"kid": "rsa", "x5u": "http://127.0.0.1:1/"}, good(nil)), issuer.ErrForged},
		"x5c in the header":              {issuertest.Sign(t, jose.RS256, foreign, map[string]any{"kid": "rsa", "x5c": []string{"AAAA"}}, good(nil)), issuer.ErrForged},
		"crit in the header":             {sign(map[string]any{"crit": []string{"exp"}, "exp": 1}, good(nil)), issuer.ErrForged},
		"crit of nothing":                {withHeader(`{"alg":"RS256","kid":"rsa","crit":[]}`), issuer.ErrForged},
		"b64 false":                      {withHeader(`{"alg":"RS256","kid":"rsa","b64":false,"crit":["b64"]}`), issuer.ErrForged},
		"expired":                        {sign(map[string]any{}, good(map[string]any{"exp": now.Unix()})), issuer.ErrNotNow},
		"expired long ago":               {sign(map[string]any{}, good(map[string]any{"exp": 0})), issuer.ErrNotNow},
		"not valid yet":                  {sign(map[string]any{}, good(map[string]any{"nbf": now.Add(time.Minute + time.Second).Unix()})), issuer.ErrNotNow},
		"no exp":                         {sign(map[string]any{}, good(map[string]any{"exp": nil})), issuer.ErrNotNow},
		"exp null":                       {sign(map[string]any{}, []byte(strings.Replace(text, fmt.Sprint(now.Add(time.Minute).Unix()), "null", 1))), issuer.ErrNotNow},
		"exp that is text":               {sign(map[string]any{}, good(map[string]any{"exp": "2999-01-01"})), issuer.ErrForged},
		"exp beyond all time":            {sign(map[string]any{}, []byte(strings.Replace(text, fmt.Sprint(now.Add(time.Minute).Unix()), "1e300", 1))), issuer.ErrForged},
		"issued in the far future":       {sign(map[string]any{}, good(map[string]any{"iat": now.Add(24 * time.Hour).Unix()})), issuer.ErrNotNow},
		"another issuer":                 {sign(map[string]any{}, good(map[string]any{"iss": "https://evil.example.com"})), issuer.ErrForged},
		"the issuer with a slash":        {sign(map[string]any{}, good(map[string]any{"iss": name + "/"})), issuer.ErrForged},
		"the issuer in another case":     {sign(map[string]any{}, good(map[string]any{"iss": strings.ToUpper(name)})), issuer.ErrForged},
		"no issuer":                      {sign(map[string]any{}, good(map[string]any{"iss": nil})), issuer.ErrForged},
		"a list of issuers":              {sign(map[string]any{}, good(map[string]any{"iss": []string{name}})), issuer.ErrForged},
		"oversized":                      {sign(map[string]any{}, good(map[string]any{"x": strings.Repeat("x", issuer.MaxToken)})), issuer.ErrForged},
		"encrypted":                      {nested, issuer.ErrForged},
		"a token in a token":             {sign(map[string]any{"cty": "JWT"}, []byte(valid)), issuer.ErrForged},
		"a token in a JSON text":         {sign(map[string]any{}, []byte(`"`+valid+`"`)), issuer.ErrForged},
		"a claim twice":                  {sign(map[string]any{}, []byte(strings.Replace(text, "{", `{"sub":"bob",`, 1))), issuer.ErrForged},
		"a claim twice, escaped":         {sign(map[string]any{}, []byte(strings.Replace(text, "{", `{"\u0073ub":"bob",`, 1))), issuer.ErrForged},
		"a claim twice, deep":            {sign(map[string]any{}, []byte(strings.Replace(text, "{", `{"a":{"b":1,"b":2},`, 1))), issuer.ErrForged},
		"invalid UTF-8":                  {sign(map[string]any{}, []byte(strings.Replace(text, "alice", "alice\xff", 1))), issuer.ErrForged},
		"two values":                     {sign(map[string]any{}, append(good(nil), []byte("{}")...)), issuer.ErrForged},
		"claims that are a list":         {sign(map[string]any{}, []byte(`[]`)), issuer.ErrForged},
		"claims that are null":           {sign(map[string]any{}, []byte(`null`)), issuer.ErrForged},
		"nothing":                        {sign(map[string]any{}, nil), issuer.ErrForged},
		"changed claims":                 {parts[0] + "." + encode(string(good(map[string]any{"sub": "bob"}))) + "." + parts[2], issuer.ErrForged},
		"a changed signature":            {valid[:len(valid)-3] + "AAA", issuer.ErrForged},
		"no signature":                   {parts[0] + "." + parts[1] + ".", issuer.ErrForged},
		"two parts":                      {parts[0] + "." + parts[1], issuer.ErrForged},
		"five parts":                     {valid + "." + parts[0] + "." + parts[1], issuer.ErrForged},
		"white space":                    {" " + valid, issuer.ErrForged},
		"a line break":                   {parts[0] + ".\n" + parts[1] + "." + parts[2], issuer.ErrForged},
		"padding":                        {parts[0] + "." + parts[1] + "=." + parts[2], issuer.ErrForged},
		"the JSON form":                  {`{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, issuer.ErrForged},
		"nothing at all":                 {"", issuer.ErrForged},
		"an RSA signature of other bits": {parts[0] + "." + parts[1] + "." + encode(strings.Repeat("\x00", 256)), issuer.ErrForged},
	} {
		claims, err := verify(c.raw, keys)
		if !errors.Is(err, c.want) || claims != nil {
			t.Errorf("%s: %v, %v, want %v", attack, claims, err, c.want)
			continue
		}
		if len(c.raw) > 40 && strings.Contains(err.Error(), c.raw[:20]) || strings.Contains(err.Error(), "alice") {
			t.Errorf("%s: the error tells of the token: %v", attack, err)
		}
	}
	// Deep values are read, not followed without end.
	deep := bytes.Replace(good(nil), []byte("{"), []byte(`{"x":`+strings.Repeat("[", 2500)+strings.Repeat("]", 2500)+","), 1)
	if _, err := verify(sign(map[string]any{}, deep), keys); err != nil && !errors.Is(err, issuer.ErrForged) {
		t.Errorf("deep claims: %v", err)
	}
	// A key that is no longer published checks nothing.
	if _, err := verify(valid, keys[:0]); !errors.Is(err, issuer.ErrUnknownKey) {
		t.Errorf("without keys: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	keys, private := keySet(f)
	valid := issuertest.Sign(f, jose.RS256, private["rsa"], map[string]any{"kid": "rsa"}, good(nil))
	f.Add(valid)
	f.Add("")
	f.Add("a.b.c")
	f.Add(encode(`{"alg":"none"}`) + "." + encode(`{"iss":"x"}`) + ".")
	f.Add(issuertest.Sign(f, jose.RS256, private["rsa"], map[string]any{"kid": "rsa"}, []byte(`{"a":{"b":[1,"x",null]},"exp":1e9}`)))
	f.Fuzz(func(t *testing.T, raw string) {
		claims, err := verify(raw, keys)
		// The last character of a signature has bits that mean nothing.
		if err == nil && raw[:len(raw)-1] != valid[:len(valid)-1] {
			t.Fatalf("%q is taken: %v", raw, claims)
		}
		if err != nil && !errors.Is(err, issuer.ErrForged) && !errors.Is(err, issuer.ErrNotNow) && !errors.Is(err, issuer.ErrUnknownKey) {
			t.Fatalf("%q: %v", raw, err)
		}
	})
}
