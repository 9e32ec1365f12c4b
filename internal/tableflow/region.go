// Package tableflow holds the kinds of the API group tableflow/v1: so much as
// tells a client that its API key for Tableflow works.
package tableflow

import (
	"context"

	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
)

// Region is a region of a cloud that has Tableflow. Weir has no Tableflow, so
// that there are none. Terraform's provider asks for the list with a new API key
// for Tableflow until it is let in (facts, clients B.3).
//
// Keys for Tableflow are the only ones for a resource that can be made so far, so
// that no other opens the list.
var Region = &engine.Kind{
	Group: "tableflow", Version: "v1", Name: "Region",
	Description: "A region of a cloud that has Tableflow. This server has no Tableflow and no regions; that the list is answered shows that an API key for Tableflow works.",
	Path:        "/tableflow/v1/regions",
	Operations:  map[engine.Verb]string{engine.List: "listTableflowV1Regions"},
	Segment:     "region",
	Resource:    organizationResource,
	Guards: func(o *engine.Object) []engine.Guard {
		return []engine.Guard{{Resource: organizationResource, On: crn.PatternOf(engine.OrganizationCRN(o.Org))}}
	},
	GuardedAs: []string{organizationResource},
	Source:    func(context.Context, *engine.Asked) ([]*engine.Object, error) { return nil, nil },
	Fields: []engine.Field{
		{
			Name: "cloud", ReadOnly: true, Required: true, Filter: engine.FilterOne, Enum: []string{"AWS"},
			Description: "The cloud that the region is in.", Example: "AWS",
		},
		{
			Name: "region", ReadOnly: true, Required: true,
			Description: "The cloud's name for the region.", Example: "us-east-2",
		},
	},
}

// organizationResource is the resource type of organizations: regions would be
// the same for who is in one.
const organizationResource = "Organization"
