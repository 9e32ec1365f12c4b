package operation_test

import (
	"slices"
	"testing"

	"github.com/weirhq/weir/internal/operation"
)

func TestOperationGroups(t *testing.T) {
	t.Parallel()
	groups := map[string]int{}
	for _, op := range operation.All() {
		group := op.OperationGroup()
		groups[group]++
		if !slices.Contains(operation.GroupNames(), group) {
			t.Errorf("%s is in the group %q, which is not listed", op.ID, group)
		}
	}
	for _, id := range []struct{ id, group string }{
		{"listIamV2IpFilters", operation.Management},
		{"listOrgV2Environments", operation.Management},
		{"listSqlv1Statements", operation.Flink},
		{"listKafkaTopics", operation.KafkaManagement},
		{"produceRecord", operation.KafkaData},
	} {
		op, ok := operation.ByID(id.id)
		if !ok {
			t.Errorf("there is no operation %s", id.id)
		} else if op.OperationGroup() != id.group {
			t.Errorf("%s is in %s, want %s", id.id, op.OperationGroup(), id.group)
		}
	}
	// What the credentials open tells the same: keys of one resource do not
	// reach what manages resources.
	for _, op := range operation.All() {
		if op.OperationGroup() == operation.Schema && slices.Contains(op.Credentials, operation.CloudAPIKey) {
			t.Errorf("%s takes Cloud API keys and is in %s", op.ID, op.OperationGroup())
		}
	}
	for _, group := range []string{operation.Management, operation.Schema, operation.Flink, operation.KafkaManagement, operation.KafkaData} {
		if groups[group] == 0 {
			t.Errorf("no operation is in %s", group)
		}
	}
}
