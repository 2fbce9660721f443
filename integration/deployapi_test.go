package integration

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// deploySite is a gateway with the Caddyfile of examples/deploy-api in front of the program that is there.
type deploySite struct {
	*site
	apiPort int
}

func startDeploySite(t *testing.T) *deploySite {
	t.Helper()
	port, apiPort := freePort(t), freePort(t)
	caddyfile := readExample(t, "deploy-api/Caddyfile", map[string]int{"8080": port, "8082": apiPort})
	address := "127.0.0.1:" + strconv.Itoa(apiPort)
	startProgram(t, program{
		name: gatewaytest.DeployAPIBinary(t), args: []string{"-listen", address, "-images", "registry.example.com/acme"},
		log: filepath.Join(t.TempDir(), "log"), serves: "http://" + address + "/",
	})
	d := &deploySite{&site{startGateway(t, caddyfile), port}, apiPort}
	d.newDeployment(t, "etl")
	d.newDeployment(t, "billing")
	return d
}

// The two mutations as CI jobs send them.
const (
	createImage = "mutation imageCreate(\n    $input: ImageCreateInput!\n) {\n    imageCreate (\n    input: $input\n) {\n" +
		"    id\n    tag\n    repository\n    deploymentId\n  }\n}"
	deployImage = "mutation imageDeploy(\n    $input: ImageDeployInput!\n  ) {\n    imageDeploy(\n      input: $input\n    ) {\n" +
		"      id\n      deploymentId\n      tag\n      repository\n    }\n}"
)

// hub calls the deploy API through the gateway.
func (d *deploySite) hub(t *testing.T, query string, input map[string]string, options ...requestOption) reply {
	t.Helper()
	body := map[string]any{"query": query, "variables": map[string]any{"input": input}}
	return call(t, http.MethodPost, d.URL(d.port, "/hub/v1"), body, options...)
}

func TestDeployAPIServesTheCalls(t *testing.T) {
	t.Parallel()
	d := startDeploySite(t)
	token := bearer(d.token(t, d.newKey(t, "etl", "deploy")))
	type image struct{ ID, Tag, Repository, DeploymentID string }
	var created struct{ Data struct{ ImageCreate image } }
	d.hub(t, createImage, map[string]string{"deploymentId": "etl", "tag": "deploy-1"}, token).Want(http.StatusOK).JSON(&created)
	if made := created.Data.ImageCreate; made.ID == "" || made.DeploymentID != "etl" || made.Tag != "deploy-1" {
		t.Errorf("imageCreate answers %+v", created)
	}
	var deployed struct{ Data struct{ ImageDeploy image } }
	d.hub(t, deployImage, map[string]string{
		"id": created.Data.ImageCreate.ID, "tag": "deploy-1", "repository": "registry.example.com/acme/etl",
	}, token).Want(http.StatusOK).JSON(&deployed)
	if made := deployed.Data.ImageDeploy; made.Repository != "registry.example.com/acme/etl" || made.DeploymentID != "etl" {
		t.Errorf("imageDeploy answers %+v", deployed)
	}
}

func TestDeployAPIRefusesAnotherDeployment(t *testing.T) {
	t.Parallel()
	d := startDeploySite(t)
	k := d.newKey(t, "etl")
	token := d.token(t, k)
	foreign := map[string]string{"deploymentId": "billing", "tag": "x"}
	wantUpstream403 := func(answer reply) {
		t.Helper()
		var body struct{ Errors []struct{ Message string } }
		answer.Want(http.StatusForbidden).JSON(&body)
		if len(body.Errors) != 1 || !strings.Contains(body.Errors[0].Message, "etl") {
			t.Errorf("the answer is not of the upstream, or does not name the key's Deployment: %s", answer.Body)
		}
	}
	wantUpstream403(d.hub(t, createImage, foreign, bearer(token)))

	// An image of billing, whose id a key of etl got to know.
	var made struct {
		Data struct{ ImageCreate struct{ ID string } }
	}
	d.hub(t, createImage, foreign, bearer(d.token(t, d.newKey(t, "billing")))).Want(http.StatusOK).JSON(&made)
	for _, repository := range []string{"registry.example.com/acme/etl", "registry.example.com/acme/billing"} {
		wantUpstream403(d.hub(t, deployImage, map[string]string{
			"id": made.Data.ImageCreate.ID, "tag": "x", "repository": repository,
		}, bearer(token)))
	}

	// What the upstream compares with is from the gateway, whatever a client writes.
	for name, lie := range map[string]requestOption{
		"the header":          header("X-Deployment-Id", "billing"),
		"in underscores":      func(r *http.Request) { r.Header["x_deployment_id"] = []string{"billing"} },
		"twice":               func(r *http.Request) { r.Header["X-Deployment-Id"] = []string{"billing", "etl"} },
		"named in Connection": header("Connection", "X-Deployment-Id"),
	} {
		t.Run(name, func(t *testing.T) {
			wantUpstream403(d.hub(t, createImage, foreign, bearer(token), lie))
			d.hub(t, createImage, map[string]string{"deploymentId": "etl", "tag": "x"}, bearer(token), lie).Want(http.StatusOK)
		})
	}
}

func TestDeployAPINeedsTheScope(t *testing.T) {
	t.Parallel()
	d := startDeploySite(t)
	k := d.newKey(t, "etl")
	input := map[string]string{"deploymentId": "etl", "tag": "x"}
	wantRefusal(t, d.hub(t, createImage, input), http.StatusUnauthorized, "unauthorized")
	wantRefusal(t, d.hub(t, createImage, input, bearer(d.token(t, d.newKey(t, "etl", "airflow:read", "airflow:write")))),
		http.StatusForbidden, "insufficient_scope")
	token := d.token(t, k)
	d.hub(t, createImage, input, bearer(token)).Want(http.StatusOK)
	d.deleteKey(t, k)
	wantRefusal(t, d.hub(t, createImage, input, bearer(token)), http.StatusUnauthorized, "invalid_token")
}

// The gateway passes on POST /hub/v1 and nothing else, in no spelling.
func TestDeployAPIPaths(t *testing.T) {
	t.Parallel()
	d := startDeploySite(t)
	token := d.token(t, d.newKey(t, "etl"))
	for _, test := range []struct {
		method, target string
		status         int
	}{
		{"POST", "/hub/v1", 400}, // by the upstream: there is no body
		{"POST", "/hub/%76%31", 400},
		{"GET", "/hub/v1", 404},
		{"PUT", "/hub/v1", 404},
		{"POST", "/hub/v1/", 404},
		{"POST", "/hub/v1/x", 404},
		{"POST", "/HUB/v1", 404},
		{"POST", "/hub/v1;x", 404},
		{"POST", "/hub//v1", 400},
		{"POST", "/hub/../hub/v1", 400},
		{"POST", "/hub%2fv1", 400},
		{"POST", "/", 404},
	} {
		request := fmt.Sprintf("%s %s HTTP/1.1\nHost: x\nConnection: close\nAuthorization: Bearer %s\nContent-Length: 0\n\n",
			test.method, test.target, token)
		d.raw(t, request).Want(test.status)
	}
}
