package sdk_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	certificateauthorityv2 "github.com/confluentinc/ccloud-sdk-go-v2/certificate-authority/v2"

	"github.com/weirhq/weir/internal/clientcert/certtest"
)

func (w *world) certificateAuthority(t *testing.T, name, chain string) *certificateauthorityv2.IamV2CertificateAuthority {
	t.Helper()
	c := w.admin
	creation := got(c.certificateAuthorities.CreateIamV2CertificateAuthority(c.ctx).IamV2CreateCertRequest(certificateauthorityv2.IamV2CreateCertRequest{
		DisplayName: new(name), Description: new("Signs for our services"),
		CertificateChain: new(chain), CertificateChainFilename: new("ca.pem"),
	}).Execute())
	want := creation.want(t, http.StatusCreated)
	if location := creation.response.Header.Get("Location"); location != w.URL+"/iam/v2/certificate-authorities/"+want.GetId() {
		t.Errorf("the Location is %q", location)
	}
	return &want
}

func testCertificateAuthorities(t *testing.T, w *world) {
	c := w.admin
	root := certtest.New(t, "root")
	intermediate := root.Issue(t, certtest.Authority("intermediate"))
	made := w.certificateAuthority(t, "workloads", intermediate.PEM(root))
	if !strings.HasPrefix(made.GetId(), "op-") || made.GetState() != "ENABLED" || made.GetCertificateChainFilename() != "ca.pem" ||
		len(made.GetFingerprints()) != 2 || len(made.GetSerialNumbers()) != 2 || len(made.GetExpirationDates()) != 2 || made.HasCrlSource() {
		t.Errorf("made: %+v", made)
	}
	got(c.certificateAuthorities.CreateIamV2CertificateAuthority(c.ctx).IamV2CreateCertRequest(certificateauthorityv2.IamV2CreateCertRequest{
		DisplayName: new("none"), Description: new(""), CertificateChain: new("no certificate"), CertificateChainFilename: new("ca.pem"),
	}).Execute()).fails(t, http.StatusUnprocessableEntity, "invalid_configuration")

	// An update is a PUT of all that an authority has.
	another := certtest.New(t, "another")
	updated := got(c.certificateAuthorities.UpdateIamV2CertificateAuthority(c.ctx, made.GetId()).IamV2UpdateCertRequest(certificateauthorityv2.IamV2UpdateCertRequest{
		Id: new(made.GetId()), DisplayName: new("services"), Description: new(""), CertificateChain: new(another.PEM()),
		CertificateChainFilename: new("another.pem"), CrlChain: new(another.CRL(t, time.Hour)),
	}).Execute()).want(t, http.StatusOK)
	if updated.GetDisplayName() != "services" || updated.GetCrlSource() != "LOCAL" || len(updated.GetFingerprints()) != 1 ||
		slices.Contains(made.GetFingerprints(), updated.GetFingerprints()[0]) || updated.GetCertificateChainFilename() != "another.pem" {
		t.Errorf("after the update: %+v", updated)
	}
	read := got(c.certificateAuthorities.GetIamV2CertificateAuthority(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
	if read.GetDisplayName() != "services" || !read.GetCrlUpdatedAt().Equal(updated.GetCrlUpdatedAt()) {
		t.Errorf("read: %+v", read)
	}

	var names []string
	for i := range 3 {
		name := "more " + string(rune('a'+i))
		w.certificateAuthority(t, name, certtest.New(t, name).PEM())
		names = append(names, name)
	}
	all, sizes := pages(t, func(token string) page[certificateauthorityv2.IamV2CertificateAuthority] {
		request := c.certificateAuthorities.ListIamV2CertificateAuthorities(c.ctx).PageSize(3)
		if token != "" {
			request = request.PageToken(token)
		}
		list := got(request.Execute()).want(t, http.StatusOK)
		return page[certificateauthorityv2.IamV2CertificateAuthority]{list.Data, list.Metadata.Next.Get()}
	})
	var listed []string
	for _, a := range all {
		listed = append(listed, a.GetDisplayName())
	}
	if !slices.Equal(listed, append([]string{"services"}, names...)) || !slices.Equal(sizes, []int{3, 1}) {
		t.Errorf("listed %q in pages of %v", listed, sizes)
	}

	// A deletion answers with what was deleted.
	gone := got(c.certificateAuthorities.DeleteIamV2CertificateAuthority(c.ctx, made.GetId()).Execute()).want(t, http.StatusOK)
	if gone.GetId() != made.GetId() || gone.GetDisplayName() != "services" {
		t.Errorf("deleted: %+v", gone)
	}
	got(c.certificateAuthorities.GetIamV2CertificateAuthority(c.ctx, made.GetId()).Execute()).fails(t, http.StatusNotFound, "resource_not_found")
}

func testCertificatePools(t *testing.T, w *world) {
	c := w.admin
	authority := w.certificateAuthority(t, "workloads", certtest.New(t, "root").PEM()).GetId()
	pool := certificateauthorityv2.IamV2CertificateIdentityPool{
		DisplayName: new("shop"), Description: new("Sells"), ExternalIdentifier: new("CN"), Filter: new(`O == "Example" && OU == "shop"`),
	}
	creation := got(c.certificatePools.CreateIamV2CertificateIdentityPool(c.ctx, authority).IamV2CertificateIdentityPool(pool).Execute())
	made := creation.want(t, http.StatusCreated)
	if made.GetPrincipal() != made.GetId() || !strings.HasPrefix(made.GetId(), "pool-") || made.GetState() != "ENABLED" || made.GetFilter() != pool.GetFilter() {
		t.Errorf("made: %+v", made)
	}
	change := pool
	change.Id, change.Filter, change.ExternalIdentifier = new(made.GetId()), new(`CN == "orders"`), new("SAN")
	updated := got(c.certificatePools.UpdateIamV2CertificateIdentityPool(c.ctx, authority, made.GetId()).IamV2CertificateIdentityPool(change).Execute()).want(t, http.StatusOK)
	read := got(c.certificatePools.GetIamV2CertificateIdentityPool(c.ctx, authority, made.GetId()).Execute()).want(t, http.StatusOK)
	for _, p := range []certificateauthorityv2.IamV2CertificateIdentityPool{updated, read} {
		if p.GetFilter() != `CN == "orders"` || p.GetExternalIdentifier() != "SAN" || p.GetDescription() != "Sells" {
			t.Errorf("after the update: %+v", p)
		}
	}
	wrong := change
	wrong.Filter = new(`CN = "orders"`)
	if detail, source := got(c.certificatePools.UpdateIamV2CertificateIdentityPool(c.ctx, authority, made.GetId()).IamV2CertificateIdentityPool(wrong).Execute()).
		fails(t, http.StatusUnprocessableEntity, "invalid_configuration"); source != "/filter" || !strings.Contains(detail, "character 4") {
		t.Errorf("a filter that is none: %q blamed on %q", detail, source)
	}
	list := got(c.certificatePools.ListIamV2CertificateIdentityPools(c.ctx, authority).Execute()).want(t, http.StatusOK)
	if len(list.Data) != 1 || list.Data[0].GetId() != made.GetId() {
		t.Errorf("the list is %+v", list.Data)
	}
	bound := c.bind(made.GetId(), "MetricsViewer", w.crn("")).want(t, http.StatusCreated)
	gone := got(c.certificatePools.DeleteIamV2CertificateIdentityPool(c.ctx, authority, made.GetId()).Execute()).want(t, http.StatusOK)
	if gone.GetId() != made.GetId() || gone.GetFilter() != `CN == "orders"` {
		t.Errorf("deleted: %+v", gone)
	}
	got(c.certificatePools.GetIamV2CertificateIdentityPool(c.ctx, authority, made.GetId()).Execute()).fails(t, http.StatusNotFound, "resource_not_found")
	got(c.roleBindings.GetIamV2RoleBinding(c.ctx, bound.GetId()).Execute()).fails(t, http.StatusForbidden, "role_binding_forbidden")
}
