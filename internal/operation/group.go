package operation

import "strings"

// The operation groups, which IP filters limit access to (facts, semantics 4).
const (
	// Management are the operations that manage resources.
	Management = "MANAGEMENT"
	// Schema are those of Schema Registry, its catalog and its keys.
	Schema = "SCHEMA"
	// Flink are those of the Flink gateway.
	Flink = "FLINK"
	// KafkaManagement are those of Kafka's REST API, but for records.
	KafkaManagement = "KAFKA_MANAGEMENT"
	// KafkaData reads and writes records.
	KafkaData = "KAFKA_DATA"
	// KafkaDiscovery finds brokers: Kafka's own protocol, of which no public
	// operation is part.
	KafkaDiscovery = "KAFKA_DISCOVERY"
	// KSQL are ksqlDB's own, of which no public operation is part either.
	KSQL = "KSQL"
)

// Category is a kind of service with its operation groups.
type Category struct {
	Name   string
	Groups []string
}

// Categories lists every operation group, by the kind of service.
func Categories() []Category {
	return []Category{
		{"management", []string{Management}},
		{"schema", []string{Schema}},
		{"flink", []string{Flink}},
		{"kafka", []string{KafkaManagement, KafkaData, KafkaDiscovery}},
		{"ksql", []string{KSQL}},
	}
}

// GroupNames lists the names of all operation groups.
func GroupNames() []string {
	var out []string
	for _, c := range Categories() {
		out = append(out, c.Groups...)
	}
	return out
}

// grouped says which operations are in another group than Management: those of
// an API group, all of them or those whose path ends so. The first row that
// fits counts.
var grouped = []struct{ api, suffix, group string }{
	{"catalog", "", Schema},
	{"dek-registry", "", Schema},
	{"kafka", "/records", KafkaData},
	{"kafka", "", KafkaManagement},
	{"schema-registry", "", Schema},
	{"sql", "", Flink},
}

// OperationGroup returns the operation group that the operation is in.
func (o Operation) OperationGroup() string {
	for _, g := range grouped {
		if g.api == o.Group && strings.HasSuffix(o.Path, g.suffix) {
			return g.group
		}
	}
	return Management
}
