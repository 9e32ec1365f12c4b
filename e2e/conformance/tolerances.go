package conformance

import "regexp"

// Tolerance is a difference to the vendor's documents that is meant.
type Tolerance struct {
	// Check is the kind of difference: an identifier of oasdiff's checks for
	// Compare, or one of the constants here.
	Check string
	// Where must match the difference's text: the method, the path and what
	// differs. It names as little as it can.
	Where *regexp.Regexp
	// Reason says why Weir differs.
	Reason string
}

// Kinds of differences that oasdiff has no name for.
const (
	// UndeclaredStatus is an answer with a status that the operation does not
	// declare. Its text is "METHOD /path STATUS".
	UndeclaredStatus = "undeclared-status"
	// MissingOperation is an operation that is not in Weir's document at all.
	MissingOperation = "missing-operation"
)

var tolerances = []Tolerance{
	{UndeclaredStatus, regexp.MustCompile(` 406$`), "an Accept header that excludes JSON is answered, not ignored"},
	{UndeclaredStatus, regexp.MustCompile(`^(POST|PUT|PATCH) .* 413$`), "bodies are bounded"},
	{UndeclaredStatus, regexp.MustCompile(`^(POST|PUT|PATCH) .* 415$`), "a body that is not declared as JSON is refused before it is parsed"},
	{UndeclaredStatus, regexp.MustCompile(` 503$`), "a database that is away, or a shutdown, is told apart from a bug"},
	{UndeclaredStatus, regexp.MustCompile(` 501$`), "operations that are not built yet say so"},
	{UndeclaredStatus, regexp.MustCompile(`^DELETE .* 409$`), "what others refer to is not deleted"},
	{UndeclaredStatus, regexp.MustCompile(`^(GET|POST) .*\}/[^{]* 404$`), "a collection below an object that does not exist is not found"},

	{"api-tag-removed", regexp.MustCompile(`^[A-Z]+ /iam/v2/sso/group-mappings.* tag .Group Mappings \(iam/v2/sso\).`),
		"Weir's pages group operations by the API that their path names, iam/v2"},
	{"api-security-component-type-changed", regexp.MustCompile("`(confluent-sts-access-token|confluent_auth)`"),
		"tokens are described as the bearer tokens that they are on the wire"},
	{"api-security-removed", regexp.MustCompile("^[A-Z]+ /iam/v2/identity-providers.* `api-key` was removed"),
		"the SDK's module is older than the published document, which names Cloud API keys and tokens of the security token service"},
	{"response-property-enum-value-added", regexp.MustCompile("/iam/v2/identity-providers.* `EC` enum value to the `.*keys/items/kty`"),
		"keys of elliptic curves are taken too; the vendor marks its list of types as one that may grow"},
	{"request-property-became-required", regexp.MustCompile("^(POST|PUT) /iam/v2/certificate-authorities.* `(certificate_chain|display_name|external_identifier)`"),
		"an authority is nothing without its chain and found by its name; a PUT of a pool sends all of it, as the document says of POST"},
	{"request-property-became-enum", regexp.MustCompile("/iam/v2/certificate-authorities/.*/identity-pools.* `external_identifier`"),
		"what names no part of a certificate could tell no identities apart"},
	{"response-property-type-changed", regexp.MustCompile("/iam/v2/certificate-authorities.*`(data/items/)?crl_url` response's property `format`"),
		"the vendor's service answers a text that is no URI where a list was uploaded"},
	{"request-property-pattern-added", regexp.MustCompile("/identity-pools.*`identity_claim`$"),
		"what names no claim could tell no identities apart"},
	{"request-parameter-min-set", regexp.MustCompile("`page_size`, the min was set to `1.00`$"),
		"a page of no objects never ends a list"},
	{"request-body-became-required", regexp.MustCompile(`^(POST|PUT|PATCH) `),
		"an empty body is malformed, and the document says so"},
	{"request-property-min-length-set", regexp.MustCompile("request property's minLength was set to `[13]`$"),
		"a required text cannot be empty, nor an address shorter than a@b"},
	{"request-property-max-length-set", regexp.MustCompile("request property's maxLength was set to `[0-9]+`$"),
		"every text is bounded; the vendor enforces limits that its documents do not state"},
	{"request-property-max-items-set", regexp.MustCompile("^POST /iam/v2/api-keys .*`spec/resources`"),
		"a key reaches one resource"},
	{"request-property-pattern-added", regexp.MustCompile("/iam/v2/ip-(filters|groups).*`(filter|group)_name`"),
		"the published description lists the characters of these names, and no pattern says so"},
	{"request-property-became-enum", regexp.MustCompile("/iam/v2/ip-filters.*`(resource_group|operation_groups/items/)`"),
		"a filter on a group that does not exist would protect nothing"},
	{"request-property-max-items-set", regexp.MustCompile("/iam/v2/ip-filters.*`operation_groups`"),
		"every list is bounded; there are fewer operation groups than that"},
	{"response-property-type-changed", regexp.MustCompile("/(related|resource_name)` response's property `format` changed from `uri` to `uri-reference`"),
		"a typed reference may be the literal 'cloud' in every place, as recorded of the vendor's service for Cloud API keys"},
	{"request-property-pattern-changed", regexp.MustCompile("^PATCH /org/v2/organizations/\\{id\\} .*`display_name`"),
		"the published pattern escapes its quotation mark, which Weir does not; both refuse the same"},
	{"response-property-pattern-changed", regexp.MustCompile("^[A-Z]+ /org/v2/organizations.*display_name`"),
		"the published pattern escapes its quotation mark, which Weir does not; both refuse the same"},
	{"response-property-enum-value-added", regexp.MustCompile("^[A-Z]+ /pim/v[12]/integrations.* enum value to the `(data/items/)?(provider|config/kind)`"),
		"clouds are named in capitals as published and in small letters as clients send them, and pim/v1 lists those of all clouds"},
	{"request-property-one-of-removed", regexp.MustCompile("^[A-Z]+ /pim/v[12]/integrations.* `config`"),
		"one structure has the fields of all clouds; which of them go together is checked"},
	{"new-required-request-property", regexp.MustCompile("^[A-Z]+ /pim/v[12]/integrations.* `config/kind`"),
		"each of the published alternatives requires it"},
	{"request-property-became-required", regexp.MustCompile("^POST /pim/v[12]/integrations the request property `display_name`"),
		"every client finds integrations by their names"},
	{"api-security-removed", regexp.MustCompile("^GET /service-quota/v1/.* `api-key`"),
		"the vendor's newest document names the credentials cloud-api-key, and says the same of them"},
	{"response-optional-property-removed", regexp.MustCompile("^GET /service-quota/v1/applied-quotas.*/(api_version|environment|kind)` from the response"),
		"in the vendor's newest document references of quotas have no type"},
	{"response-property-enum-value-added", regexp.MustCompile("^GET /service-quota/v1/applied-quotas.*(IDENTITY_PROVIDER|CERTIFICATE_AUTHORITY)"),
		"the vendor's newest document has these scopes"},
}

// Tolerances returns the table of differences that are meant.
func Tolerances() []Tolerance { return append([]Tolerance(nil), tolerances...) }

// tolerated returns the position in the table of what allows the difference,
// or -1.
func tolerated(check, text string) int {
	for i, t := range tolerances {
		if t.Check == check && t.Where.MatchString(text) {
			return i
		}
	}
	return -1
}
