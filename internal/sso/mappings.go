package sso

import (
	"context"
	"log/slog"

	"github.com/weirhq/weir/internal/celfilter"
	"github.com/weirhq/weir/internal/iam"
	"github.com/weirhq/weir/internal/memory"
	"github.com/weirhq/weir/internal/store"
)

// Kinds are the kinds whose changes Mappings must be told of.
func Kinds() []string { return []string{iam.GroupMapping.Key()} }

const (
	// rememberedOrganizations bounds how many organizations' mappings are
	// remembered. One takes some hundred kilobytes with its filters.
	rememberedOrganizations = 200
	// maxMappings bounds how many of an organization count.
	maxMappings = 1000
)

// mapping is a group mapping as sessions are checked with it.
type mapping struct {
	id     string
	filter *celfilter.Filter
}

// Mappings answers from memory which group mappings are for whom.
type Mappings struct {
	store  store.Reader
	log    *slog.Logger
	memory *memory.Memory[string, []mapping]
}

// NewMappings returns one that remembers nothing yet. Whoever makes it has it
// told of changes.
func NewMappings(s store.Reader, log *slog.Logger) *Mappings {
	m := &Mappings{store: s, log: log}
	m.memory = memory.New(rememberedOrganizations, m.load, map[string]memory.Reach{iam.GroupMapping.Key(): memory.Everything}, nil)
	return m
}

// Changed makes it forget what the change touches.
func (m *Mappings) Changed(c store.Change) { m.memory.Changed(c) }

func (m *Mappings) load(ctx context.Context, org string) ([]mapping, error) {
	rows, err := m.store.List(ctx, store.Query{Org: org, Kind: iam.GroupMapping.Key(), Limit: maxMappings})
	if err != nil {
		return nil, err
	}
	all := make([]mapping, 0, len(rows))
	for i := range rows {
		o, err := iam.GroupMapping.Decode(&rows[i])
		if err != nil {
			return nil, err
		}
		filter, err := celfilter.Compile(celfilter.Groups, o.Doc.String("filter"))
		if err != nil {
			// It compiled once. Whom it was for is not known any more.
			m.log.WarnContext(ctx, "the filter of a group mapping is for nobody, change it", "mapping", o.ID, "error", err)
			continue
		}
		all = append(all, mapping{o.ID, filter})
	}
	return all, nil
}

// For returns the IDs of the mappings of the organization that are for somebody who
// is in the groups. It is an authn.Mappings.
func (m *Mappings) For(ctx context.Context, org string, groups []string) ([]string, error) {
	all, err := m.memory.Get(ctx, org)
	if err != nil {
		return nil, err
	}
	var ids []string
	vars := map[string]any{"groups": append([]string{}, groups...)} // a list, also where there are none
	for _, one := range all {
		if one.filter.Match(vars) {
			ids = append(ids, one.id)
		}
	}
	return ids, nil
}
