package iam

import (
	"context"
	"errors"

	"github.com/weirhq/weir/internal/api"
	"github.com/weirhq/weir/internal/authz"
	"github.com/weirhq/weir/internal/crn"
	"github.com/weirhq/weir/internal/engine"
	"github.com/weirhq/weir/internal/ipfilter"
	"github.com/weirhq/weir/internal/operation"
	"github.com/weirhq/weir/internal/store"
)

// IPFilterSummary tells how far each operation group is open in an organization
// or environment. It asks the tables that requests are decided by, so it says
// what is in force: all is open while the filters are suspended.
var IPFilterSummary = &engine.Call{
	Operation:   "getIamV2IpFilterSummary",
	Description: "Tells of every operation group how far the IP filters leave it open in the organization or environment: OPEN to everybody, LIMITED to some networks, or with NO_ACCESS. A category has the one status of its groups, or is MIXED. For an environment the filters of its organization count too. While an operator has suspended the filters everything is OPEN.",
	Asks:        &engine.Permission{Operation: authz.Describe, Resource: "IpFilter"},
	On:          summaryScope,
	Parameters: []engine.Parameter{{
		Name: "scope", Required: true, Example: "crn://confluent.cloud/organization=9bb441c4-edef-46ac-8a41-c49e44a3fd9a/environment=env-456xy",
		Description: "The organization or environment, by its CRN.",
	}},
	Answer: summaryFields,
	Codes:  []*api.Code{api.InvalidParameter, api.ResourceNotFound},
	Do:     summarize,
}

var summaryFields = []engine.Field{
	{Name: "api_version", Required: true, Enum: []string{"iam/v2"}, Description: "The API and its version."},
	{Name: "kind", Required: true, Enum: []string{"IpFilterSummary"}, Description: "What kind of document this is."},
	{Name: "scope", Required: true, Description: "What was asked about."},
	{
		Name: "categories", Type: engine.Array, Required: true, Description: "Every operation group, by the kind of service.",
		Items: &engine.Field{Name: "category", Type: engine.Structure, Description: "A kind of service.", Fields: []engine.Field{
			{Name: "name", Required: true, Description: "The kind of service.", Example: "management"},
			{
				Name: "status", Required: true, Description: "The one status of the operation groups, or MIXED.",
				Enum: []string{string(ipfilter.Open), string(ipfilter.Limited), string(ipfilter.NoAccess), string(ipfilter.Mixed)},
			},
			{
				Name: operationList, Type: engine.Array, Required: true, Description: "The operation groups of the service.",
				Items: &engine.Field{Name: "operation_group", Type: engine.Structure, Description: "An operation group.", Fields: []engine.Field{
					{Name: "name", Required: true, Description: "The operation group.", Example: operation.Management},
					{
						Name: "status", Required: true, Description: "How far the operation group is open.",
						Enum: []string{string(ipfilter.Open), string(ipfilter.Limited), string(ipfilter.NoAccess)},
					},
				}},
			},
		}},
	},
}

// summaryScope reads the scope that the summary is about.
func summaryScope(_ context.Context, c *engine.Calling) (crn.Pattern, error) {
	scope, _, err := askedScope(c)
	return crn.PatternOf(scope), err
}

func askedScope(c *engine.Calling) (crn.CRN, string, error) {
	text := c.Query.Get("scope")
	if text == "" {
		return crn.CRN{}, "", api.BadParameter(api.InvalidParameter, "scope", "The parameter 'scope' is required")
	}
	scope, id, err := parseScope(c.Caller.Org, text)
	if err != nil {
		return crn.CRN{}, "", api.BadParameter(api.InvalidParameter, "scope", "The parameter 'scope' "+err.Error())
	}
	return scope, id, nil
}

func summarize(ctx context.Context, c *engine.Calling) (*engine.Answer, error) {
	scope, id, err := askedScope(c)
	if err != nil {
		return nil, err
	}
	if id != "" {
		if _, err := c.Engine.Store.Get(ctx, c.Caller.Org, store.Key{Kind: keptKinds[environment], ID: id}); errors.Is(err, store.ErrNotFound) {
			return nil, api.BadParameter(api.ResourceNotFound, "scope", "The environment '"+id+"' does not exist, or you may not know of it")
		} else if err != nil {
			return nil, err
		}
	}
	table, err := c.Engine.Filters(ctx, c.Caller.Org)
	if err != nil {
		return nil, err
	}
	var categories []any
	for _, category := range operation.Categories() {
		var all []ipfilter.Status
		var groups []any
		for _, group := range category.Groups {
			status := table.Status(id, group)
			all = append(all, status)
			groups = append(groups, engine.Doc{"name": group, "status": string(status)})
		}
		categories = append(categories, engine.Doc{
			"name": category.Name, "status": string(ipfilter.Together(all)), operationList: groups,
		})
	}
	return &engine.Answer{Status: c.Success, Body: engine.Document(summaryFields, engine.Doc{
		"api_version": "iam/v2", "kind": "IpFilterSummary", "scope": scope.String(), "categories": categories,
	})}, nil
}
