package operation

import (
	"regexp"
	"strings"
	"unicode"
)

// titles holds what the rule of Title cannot derive: identifiers whose verb is
// a noun, that name no object, or that say less than a reader needs.
var titles = map[string]string{
	"activateSignup":                               "Activate sign-up",
	"alterConnectv1ConnectorOffsetsRequest":        "Request change of connector offsets",
	"createOrUpdateConnectv1ConnectorConfig":       "Create or update connector configuration",
	"delete_imageCdxV1ProviderSharedResource":      "Delete image of provider shared resource",
	"deleteTopLevelConfig":                         "Delete global configuration",
	"exportMetricsV2Metrics":                       "Export metrics",
	"getAllBusinessMetadataDefs":                   "List business metadata definitions",
	"getAllTagDefs":                                "List tag definitions",
	"getByUniqueAttributes":                        "Get entity by unique attributes",
	"getCdxV1OptIn":                                "Get opt-in",
	"getConnectv1ConnectorOffsetsRequestStatus":    "Get status of connector offsets request",
	"getDekByVersion":                              "Get DEK version",
	"getDekSubjects":                               "List DEK subjects",
	"getDekVersions":                               "List DEK versions",
	"getKekNames":                                  "List KEK names",
	"getLatestWithMetadata":                        "Get latest schema with metadata",
	"getMode":                                      "Get subject mode",
	"getNotificationsV1ResourcePreferenceByFilter": "Look up resource preference",
	"getReferencedBy":                              "List references to schema version",
	"getSchemaByVersion":                           "Get schema version",
	"getSchemaOnly":                                "Get schema string",
	"getSchemaOnly_1":                              "Get schema string of version",
	"getSchemas":                                   "List schemas",
	"getSchemaTypes":                               "List schema types",
	"getSubjectLevelConfig":                        "Get subject configuration",
	"getSubjects":                                  "List subjects of schema",
	"getTopLevelConfig":                            "Get global configuration",
	"getTopLevelMode":                              "Get global mode",
	"getVersions":                                  "List subject versions of schema",
	"imageCdxV1ConsumerSharedResource":             "Get image of consumer shared resource",
	"list":                                         "List subjects",
	"listNotificationsV1ResourceSubscriptionsByFilter": "Look up resource subscriptions",
	"listVersions":                               "List versions of subject",
	"networkCdxV1ConsumerSharedResource":         "Get network of consumer shared resource",
	"partialEntityUpdate":                        "Update entity in part",
	"presigned-upload-urlArtifactV1PresignedUrl": "Create presigned upload URL",
	"presigned-upload-urlCamV1PresignedUrl":      "Create presigned upload URL",
	"presigned-upload-urlConnectV1PresignedUrl":  "Create presigned upload URL",
	"putKek":                                  "Update KEK",
	"queryAiV1ChatCompletion":                 "Request chat completion",
	"queryDocsAiV1DocCompletion":              "Request documentation completion",
	"readConnectv1Connector":                  "Get connector",
	"readConnectv1ConnectorStatus":            "Get connector status",
	"readKafkaMirrorTopic":                    "Get mirror topic",
	"register":                                "Register schema",
	"registerExporter":                        "Create exporter",
	"resourcesCdxV1SharedToken":               "List resources of shared token",
	"searchUsingAttribute":                    "Search entities by attribute",
	"searchUsingBasic":                        "Search entities",
	"signup":                                  "Sign up organization",
	"signupPartnerV2Link":                     "Sign up by linking organization",
	"testCompatibilityBySubjectName":          "Test compatibility with subject version",
	"testCompatibilityForSubject":             "Test compatibility with subject",
	"updateCdxV1OptIn":                        "Update opt-in",
	"updateIamV2UserAuth":                     "Update authentication type of user",
	"updatePartitionCountKafkaTopic":          "Update partition count of topic",
	"updateSubjectLevelConfig":                "Update subject configuration",
	"updateTopLevelConfig":                    "Update global configuration",
	"updateTopLevelMode":                      "Update global mode",
	"upload_imageCdxV1ProviderSharedResource": "Upload image of provider shared resource",
	"view_imageCdxV1ProviderSharedResource":   "Get image of provider shared resource",
}

// words says how a word is written in a title where lower case is wrong.
var words = map[string]string{
	"acl": "ACL", "acls": "ACLs", "api": "API", "config": "configuration",
	"configs": "configurations", "connect": "Connect", "def": "definition", "defs": "definitions",
	"dek": "DEK", "dns": "DNS", "doc": "documentation", "flink": "Flink",
	"info": "information", "ip": "IP", "json": "JSON", "kafka": "Kafka",
	"kek": "KEK", "lookup": "look up", "oauth": "OAuth", "org": "organization",
	"rtce": "RTCE", "scim": "SCIM", "sso": "SSO", "tableflow": "Tableflow", "url": "URL",
}

// versioned takes an identifier apart: the verb, the API group and version
// (each group and version is written as one capitalized run, with a small or
// a capital v), and the object.
var versioned = regexp.MustCompile(`^([a-z_]+)[A-Za-z]*?[Vv]\d+(?:alpha\d+|beta\d+)?([A-Z].*)$`)

// Title returns a short title for people, derived from the identifier: "List
// service accounts" from listIamV2ServiceAccounts.
func (o Operation) Title() string {
	if t, ok := titles[o.ID]; ok {
		return t
	}
	id := o.ID
	if m := versioned.FindStringSubmatch(id); m != nil {
		id = m[1] + m[2]
	} else if o.Group == "kafka" {
		// The identifiers of this group carry its name but no version.
		id = strings.Replace(id, "Kafka", "", 1)
	}
	parts := splitCamel(strings.TrimSuffix(id, "ByName"))
	for i, p := range parts {
		if w, ok := words[p]; ok {
			parts[i] = w
		}
	}
	title := strings.Join(parts, " ")
	if title == "" {
		return o.Method + " " + o.Path
	}
	return strings.ToUpper(title[:1]) + title[1:]
}

// splitCamel splits an identifier in front of every capital letter and at
// every mark that is neither letter nor digit; the words are in lower case.
func splitCamel(id string) []string {
	var b strings.Builder
	for _, r := range id {
		switch {
		case unicode.IsUpper(r):
			b.WriteByte(' ')
			b.WriteRune(unicode.ToLower(r))
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			b.WriteRune(r)
		default:
			b.WriteByte(' ')
		}
	}
	return strings.Fields(b.String())
}
