package integration

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// registryPaths are request targets, what the registry by itself serves for them, and the status that a key of etl gets
// through the gateway. What is served is own, for the image of etl, or foreign, for that of billing, or else the status.
// Where it is a redirect, the client follows it through the gateway, as another request.
var registryPaths = []struct {
	target  string
	serves  string
	gateway int
}{
	{"/v2/acme/etl/manifests/v1", "own", 200},
	{"/v2/acme/e%74l/manifests/v1", "own", 200},
	{"/v2/acme/etl/manifest%73/v1", "own", 200},
	{"/v2/acme/etl/manifests/v1?name=acme/billing&from=acme/billing", "own", 200},
	{"http://HOST/v2/acme/etl/manifests/v1", "own", 200},

	{"/v2/acme/billing/manifests/v1", "foreign", 403},
	{"/v2/acme/%62illing/manifests/v1", "foreign", 403},
	{"/v2/%61cme/billing/manifests/v1", "foreign", 403},
	{"/%762/acme/billing/manifests/v1", "foreign", 403},
	{"/v2/acme/billing/manifests/v1?x=/../../etl", "foreign", 403},
	{"/v2/acme/billing/manifests/%76%31", "foreign", 403},
	{"http://HOST/v2/acme/billing/manifests/v1", "foreign", 403},
	{"http://HOST/v2/acme/%62illing/manifests/v1", "foreign", 403},

	// An encoded slash is one to the registry.
	{"/v2/acme%2fbilling/manifests/v1", "foreign", 400},
	{"/v2/acme%2Fbilling%2Fmanifests%2Fv1", "foreign", 400},
	{"/v2/acme/etl%2fmanifests/v1", "own", 400},
	{"/v2/acme/etl%2f..%2fbilling/manifests/v1", "301", 400},
	{"/v2/acme/etl/..%2fbilling/manifests/v1", "301", 400},
	{"/v2/acme/etl%2f/manifests/v1", "301", 400},

	{"/v2/acme/etl/../billing/manifests/v1", "301", 400},
	{"/v2/acme/./billing/manifests/v1", "301", 400},
	{"/v2/./acme/etl/manifests/v1", "301", 400},
	{"/v2/acme/etl/%2e%2e/billing/manifests/v1", "301", 400},
	{"/v2/acme/etl/.%2E/billing/manifests/v1", "301", 400},
	{"/v2/acme/etl/manifests/../../billing/manifests/v1", "301", 400},
	{"/v2/acme/etl/manifests/..", "301", 404},
	{"/v2/acme/etl/manifests/v1/../../../billing/manifests/v1", "301", 400},
	{"http://HOST/v2/acme/etl/../billing/manifests/v1", "301", 400},

	{"//v2/acme/billing/manifests/v1", "301", 400},
	{"/v2//acme/billing/manifests/v1", "301", 400},
	{"/v2/acme//billing/manifests/v1", "301", 400},
	{"/v2/acme/billing//manifests/v1", "301", 400},
	{"/v2/acme/etl//manifests/v1", "301", 400},
	{"/v2/acme/etl/manifests//v1", "301", 400},
	{"http://HOST//v2/acme/billing/manifests/v1", "301", 400},

	{"/v2/acme/etl/manifests/v1/", "301", 404},
	{"/v2/acme/billing/manifests/v1/", "301", 404},
	{"/v2/acme/etl/manifests/v1/x", "404", 404},
	{"/v2/acme/etl/manifests/v1%00", "404", 400},
	{"/v2/acme/etl/manifests/v1%20", "404", 404},
	{"/v2/acme/etl/manifests/v1%0a", "404", 400},
	{"/v2/acme/etl%00/manifests/v1", "404", 404},
	{"/v2/acme/billing%20/manifests/v1", "404", 404},

	{"/v2/acme/billing;x/manifests/v1", "404", 404},
	{"/v2/acme/etl/..;/billing/manifests/v1", "404", 404},
	{"/v2/acme/etl/manifests/v1;x=/billing", "404", 404},
	{"/v2/acme/etl/manifests/v1;x", "404", 404},
	{`/v2/acme\billing/manifests/v1`, "404", 404},
	{`/v2/acme/etl\..\billing/manifests/v1`, "404", 404},
	{"/v2/acme/etl/..%5cbilling/manifests/v1", "404", 404},
	{`/v2/acme/etl/manifests/..\..\billing`, "404", 400},

	{"/V2/acme/billing/manifests/v1", "404", 404},
	{"/v2/ACME/billing/manifests/v1", "404", 404},
	{"/v2/acme/BILLING/manifests/v1", "404", 404},
	{"/v2/acme/billing/Manifests/v1", "404", 404},
	{"/v2/acme/ETL/manifests/v1", "404", 404},
	{"/v2/acme/billin%67/MANIFESTS/v1", "404", 404},

	{"/v2/acme/%2562illing/manifests/v1", "404", 404},
	{"/v2/acme%252fbilling/manifests/v1", "404", 404},
	{"/v2/acme/etl/%252e%252e/billing/manifests/v1", "404", 404},
	{"/v2/acme/etl/manifests/%2576%2531", "404", 404},
	{"/v2/acme/%c0%ae%c0%ae/billing/manifests/v1", "404", 404},
	{"/v2/acme/b%C4%B1lling/manifests/v1", "404", 404},
	{"/v2/acme/%EF%BD%82illing/manifests/v1", "404", 404},
	{"/v2/acme/%zz/manifests/v1", "400", 400},

	// Names of more parts and of fewer.
	{"/v2/acme/etl/billing/manifests/v1", "404", 404},
	{"/v2/acme/billing/etl/manifests/v1", "404", 404},
	{"/v2/billing/manifests/v1", "404", 404},
	{"/v2/acme/etl/acme/billing/manifests/v1", "404", 404},
	{"/v2/acme/etl/manifests/manifests/v1", "404", 404},
	{"*", "301", 404},
	{"http://HOST", "301", 404},
	{"v2/acme/billing/manifests/v1", "400", 400},
}

// servedBy says of which repository an answer of the registry is.
func (r *registrySite) servedBy(answer reply) string {
	switch {
	case bytes.Contains(answer.Body, []byte(r.foreignImage.layerDigest)):
		return "foreign"
	case bytes.Contains(answer.Body, []byte(r.ownImage.layerDigest)):
		return "own"
	default:
		return fmt.Sprint(answer.Status)
	}
}

func TestRegistryPaths(t *testing.T) {
	t.Parallel()
	r := startRegistrySite(t, embedded(t))
	token := r.token(t, r.etl)
	itself := &site{port: r.registryPort}
	accept := "Accept: " + manifestType
	for _, test := range registryPaths {
		t.Run(test.target, func(t *testing.T) {
			at := func(port int) string {
				return strings.Replace(test.target, "HOST", fmt.Sprintf("127.0.0.1:%d", port), 1)
			}
			direct := strings.Replace(rawGet(at(r.registryPort), "", accept), "airflow.example.com", fmt.Sprintf("127.0.0.1:%d", r.registryPort), 1)
			if serves := r.servedBy(itself.raw(t, direct)); serves != test.serves {
				t.Errorf("the registry itself serves %s, the table says %s", serves, test.serves)
			}
			answer := r.raw(t, rawGet(at(r.port), token, accept))
			if answer.Status != test.gateway {
				t.Errorf("through the gateway it is %d, want %d\n%s", answer.Status, test.gateway, answer.Body)
			}
			if served := r.servedBy(answer); served == "foreign" || (test.gateway == http.StatusOK && served != "own") {
				t.Errorf("through the gateway the registry serves %s", served)
			}
		})
	}
	r.wantForeignUntouched(t)
}
