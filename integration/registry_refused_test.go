package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// Each of these requests is one that the registry serves to whoever reaches it, or at least understands, and that a key
// of etl must not get through.
func TestRegistryRefuses(t *testing.T) {
	t.Parallel()
	r := startRegistrySite(t, embedded(t))
	foreignUpload := func() string {
		return call(t, http.MethodPost, r.direct("/v2/acme/billing/blobs/uploads/"), nil).Want(http.StatusAccepted).Header.Get("Location")
	}
	digest := r.foreignImage.layerDigest
	r.seed(t, "acme/etl/deeper", "v1")
	r.seed(t, "other/etl", "v1")
	r.seed(t, "acme", "v1")
	r.seed(t, "acme/manifests", "v1")
	tests := []struct {
		method, path, body string
		registry, gateway  int
	}{
		{"GET", "/v2/acme/billing/manifests/v1", "", 200, 403},
		{"HEAD", "/v2/acme/billing/manifests/v1", "", 200, 403},
		{"GET", "/v2/acme/billing/tags/list", "", 200, 403},
		{"GET", "/v2/acme/billing/blobs/" + digest, "", 200, 403},
		{"HEAD", "/v2/acme/billing/blobs/" + digest, "", 200, 403},
		{"PUT", "/v2/acme/billing/manifests/v2", r.foreignImage.manifest, 201, 403},
		{"POST", "/v2/acme/billing/blobs/uploads/", "", 202, 403},
		{"GET", foreignUpload(), "", 204, 403},
		{"PATCH", foreignUpload(), "x", 202, 403},
		{"PUT", foreignUpload() + "&digest=" + digestOf("x"), "x", 201, 403},
		{"DELETE", foreignUpload(), "", 204, 403},
		{"GET", "/v2/_catalog", "", 200, 404},
		{"GET", "/v2/_catalog?n=1&last=acme/billing", "", 200, 404},
		// Other organizations, and names of other than two parts.
		{"GET", "/v2/other/etl/manifests/v1", "", 200, 404},
		{"POST", "/v2/other/etl/blobs/uploads/", "", 202, 404},
		{"GET", "/v2/acme/etl/deeper/manifests/v1", "", 200, 404},
		{"POST", "/v2/acme/etl/deeper/blobs/uploads/", "", 202, 404},
		{"POST", "/v2/acme/billing/etl/blobs/uploads/", "", 202, 404},
		{"GET", "/v2/acme/manifests/v1", "", 200, 404},
		{"POST", "/v2/acme/blobs/uploads/", "", 202, 404},
		{"POST", "/v2/etl/blobs/uploads/", "", 202, 404},
		// Here the Deployment would be called manifests, and there is none.
		{"GET", "/v2/acme/manifests/manifests/v1", "", 200, 403},
		// A key puts images in and gets them out. It deletes none, also of its own.
		{"DELETE", "/v2/acme/etl/manifests/" + digestOf(r.ownImage.manifest), "", 405, 403},
		{"DELETE", "/v2/acme/etl/blobs/" + r.ownImage.layerDigest, "", 405, 403},
		{"POST", "/v2/", "", 200, 403},
		{"GET", "/v2", "", 301, 404},
		{"GET", "/", "", 200, 404},
		{"GET", "/debug/vars", "", 404, 404},
	}
	typeOf := func(path string) requestOption {
		return func(request *http.Request) {
			request.Header.Set("Accept", manifestType)
			request.Header.Set("Content-Type", "application/octet-stream")
			if strings.Contains(path, "/manifests/") {
				request.Header.Set("Content-Type", manifestType)
			}
		}
	}
	for _, credential := range []struct {
		name  string
		login requestOption
	}{
		{"key", basic(r.etl.ID, r.etl.Secret)},
		{"token", basic("cli", r.token(t, r.etl))},
		{"bearer", bearer(r.token(t, r.etl))},
	} {
		for _, test := range tests {
			t.Run(fmt.Sprint(credential.name, " ", test.method, " ", test.path), func(t *testing.T) {
				answer := call(t, test.method, r.through(test.path), test.body, credential.login, typeOf(test.path)).Want(test.gateway)
				if answer.Header.Get("Docker-Distribution-Api-Version") != "" {
					t.Errorf("the answer is of the registry: %v %s", answer.Header, answer.Body)
				}
			})
		}
	}
	call(t, http.MethodGet, r.through("/v2/acme/etl/tags/list"), nil, basic(r.etl.ID, r.etl.Secret)).Want(http.StatusOK)
	r.wantForeignUntouched(t)
	// Afterwards, so that what the registry does with it was not there before.
	for _, test := range tests {
		call(t, test.method, r.direct(test.path), test.body, typeOf(test.path)).Want(test.registry)
	}
}

// An upload's URL has a state in it that the registry has signed. With the name of one repository in the path, and the
// upload and the state of another, the gateway can only look at the path; here the registry has to refuse.
func TestRegistryUploadOfAnotherUnderTheOwnName(t *testing.T) {
	t.Parallel()
	r := startRegistrySite(t, embedded(t))
	login := basic(r.etl.ID, r.etl.Secret)
	foreign := call(t, http.MethodPost, r.direct("/v2/acme/billing/blobs/uploads/"), nil).Want(http.StatusAccepted).Header.Get("Location")
	own := call(t, http.MethodPost, r.through("/v2/acme/etl/blobs/uploads/"), nil, login).Want(http.StatusAccepted).Header.Get("Location")
	foreignID, foreignState, _ := strings.Cut(strings.TrimPrefix(foreign, "/v2/acme/billing/blobs/uploads/"), "?")
	ownID, ownState, _ := strings.Cut(strings.TrimPrefix(own, "/v2/acme/etl/blobs/uploads/"), "?")
	const uploads = "/v2/acme/etl/blobs/uploads/"
	for name, path := range map[string]string{
		"foreign upload and state":         uploads + foreignID + "?" + foreignState,
		"foreign upload, own state":        uploads + foreignID + "?" + ownState,
		"foreign upload, no state":         uploads + foreignID,
		"own upload, foreign state":        uploads + ownID + "?" + foreignState,
		"own upload, both states":          uploads + ownID + "?" + foreignState + "&" + ownState,
		"foreign upload, states reversed":  uploads + foreignID + "?" + ownState + "&" + foreignState,
		"foreign upload below the own one": uploads + ownID + "/../../../../billing/blobs/uploads/" + foreignID + "?" + foreignState,
	} {
		t.Run(name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodPatch, http.MethodPut} {
				answer := call(t, method, r.through(path)+"&digest="+digestOf("stolen"), "stolen", login)
				if answer.Status < 400 {
					t.Errorf("%s: %d", method, answer.Status)
				}
			}
		})
	}
	r.wantForeignUntouched(t)
	// The upload of billing is as it was.
	answer := call(t, http.MethodGet, r.direct(foreign), nil).Want(http.StatusNoContent)
	if got := answer.Header.Get("Range"); got != "0-0" {
		t.Errorf("the upload of billing has the range %s", got)
	}
}

// A mount is a blob of another repository that becomes one of this repository. The parts of the request that ask for it
// can be spelled in many ways; of each it is looked at what the registry does by itself.
func TestRegistryMountFromAnotherDeployment(t *testing.T) {
	t.Parallel()
	r := startRegistrySite(t, embedded(t))
	login := basic(r.etl.ID, r.etl.Secret)
	mount, from := "mount="+r.foreignImage.layerDigest, "from=acme/billing"
	form := url.Values{"mount": {r.foreignImage.layerDigest}, "from": {"acme/billing"}}.Encode()
	boundary := "--x\r\nContent-Disposition: form-data; name=\"%s\"\r\n\r\n%s\r\n"
	multipart := fmt.Sprintf(boundary+boundary+"--x--\r\n", "mount", r.foreignImage.layerDigest, "from", "acme/billing")
	urlencoded := header("Content-Type", "application/x-www-form-urlencoded")
	plain := header("Accept", "*/*")
	tests := map[string]struct {
		query, body string
		option      requestOption
		mounts      bool // the registry does, when it is asked itself
	}{
		"as clients do":          {mount + "&" + from, "", plain, true},
		"the other way round":    {from + "&" + mount, "", plain, true},
		"encoded names":          {"%6dount=" + r.foreignImage.layerDigest + "&%66rom=acme/billing", "", plain, true},
		"encoded values":         {strings.Replace(mount, ":", "%3A", 1) + "&from=acme%2fbilling", "", plain, true},
		"twice, own one first":   {mount + "&from=acme/etl&" + from, "", plain, false},
		"twice, own one last":    {mount + "&" + from + "&from=acme/etl", "", plain, true},
		"digest twice":           {"mount=&" + mount + "&" + from, "", plain, false},
		"semicolons":             {mount + ";" + from, "", plain, false},
		"semicolon before":       {"x;y&" + mount + "&" + from, "", plain, true},
		"encoded ampersand":      {"x%26" + mount + "&" + from, "", plain, false},
		"capitals":               {"Mount=" + r.foreignImage.layerDigest + "&From=acme/billing", "", plain, false},
		"empty pairs":            {"&&" + mount + "&&" + from + "&", "", plain, true},
		"two question marks":     {"?" + mount + "&" + from + "&" + mount, "", plain, true},
		"bad escape beside":      {"%zz&" + mount + "&" + from, "", plain, true},
		"plus and blank":         {mount + "&from=acme/billing+", "", plain, false},
		"form":                   {"", form, urlencoded, true},
		"form, one in the query": {mount, "from=acme%2Fbilling", urlencoded, true},
		"form with parameters":   {"", form, header("Content-Type", "Application/X-WWW-Form-URLencoded; charset=utf-8"), true},
		"multipart":              {"", multipart, header("Content-Type", "multipart/form-data; boundary=x"), true},
		"multipart, mixed":       {mount, multipart, header("Content-Type", "multipart/mixed; boundary=x"), false},
		"form without its type":  {"", form, header("Content-Type", "application/octet-stream"), false},
		"type in underscores":    {"", form, header("content_type", "application/x-www-form-urlencoded"), false},
		"method override":        {mount + "&" + from, "", header("X-HTTP-Method-Override", "PUT"), true},
	}
	number := 0
	for name, test := range tests {
		number++
		t.Run(name, func(t *testing.T) {
			target := fmt.Sprintf("/v2/acme/mount-%d/blobs/uploads/?%s", number, test.query)
			status := http.StatusAccepted // an upload begins
			if test.mounts {
				status = http.StatusCreated
			}
			call(t, http.MethodPost, r.direct(target), test.body, test.option).Want(status)

			for _, path := range []string{"/v2/acme/etl/blobs/uploads/", "/v2/acme/e%74l/blobs/uploads/", "/v2/acme/etl/blobs/u%70loads/"} {
				begun := call(t, http.MethodPost, r.through(path+"?"+test.query), test.body, test.option, login).Want(http.StatusAccepted)
				if location := begun.Header.Get("Location"); !strings.HasPrefix(location, "/v2/acme/etl/blobs/uploads/") {
					t.Errorf("the upload is at %q", location)
				}
				// The same on an upload that has begun.
				location := r.through(begun.Header.Get("Location"))
				call(t, http.MethodPatch, location+"&"+test.query, test.body, test.option, login)
				call(t, http.MethodPut, location+"&"+test.query, test.body, test.option, login)
			}
			call(t, http.MethodGet, r.through("/v2/acme/etl/blobs/"+r.foreignImage.layerDigest), nil, login).Want(http.StatusNotFound)
		})
	}
	// With another method the query stays as it is, and none of them begins an upload.
	for _, method := range []string{"post", "Post", "PUT", "PATCH", "GET", "OPTIONS", "POSTX"} {
		t.Run("method "+method, func(t *testing.T) {
			request := fmt.Sprintf("%s /v2/acme/etl/blobs/uploads/?%s&%s HTTP/1.1\nHost: x\nConnection: close\nAuthorization: Bearer %s\n"+
				"X-HTTP-Method-Override: POST\nContent-Length: 0\n\n", method, mount, from, r.token(t, r.etl))
			r.raw(t, request).Want(http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed)
			call(t, http.MethodGet, r.through("/v2/acme/etl/blobs/"+r.foreignImage.layerDigest), nil, login).Want(http.StatusNotFound)
		})
	}
	r.wantForeignUntouched(t)
}

// Blobs are stored once for all repositories. One of billing can't be had under the name of etl, nor by an image of etl
// that has it for a layer.
func TestRegistryBlobOfAnotherUnderTheOwnName(t *testing.T) {
	t.Parallel()
	r := startRegistrySite(t, embedded(t))
	login := basic(r.etl.ID, r.etl.Secret)
	for _, path := range []string{"blobs/" + r.foreignImage.layerDigest, "manifests/" + digestOf(r.foreignImage.manifest)} {
		answer := call(t, http.MethodGet, r.through("/v2/acme/etl/"+path), nil, login).Want(http.StatusNotFound)
		if !strings.Contains(string(answer.Body), "_UNKNOWN") {
			t.Errorf("%s: the answer is not of the registry: %s", path, answer.Body)
		}
	}
	stolen := manifestOf(digestOf("{}"), 2, r.foreignImage.layerDigest, len(r.foreignImage.layer))
	answer := call(t, http.MethodPut, r.through("/v2/acme/etl/manifests/stolen"), stolen, login, header("Content-Type", manifestType)).
		Want(http.StatusBadRequest)
	if !strings.Contains(string(answer.Body), "MANIFEST_BLOB_UNKNOWN") {
		t.Errorf("the registry says %s", answer.Body)
	}
	index := fmt.Sprintf(`{"schemaVersion":2,"mediaType":"application/vnd.docker.distribution.manifest.list.v2+json","manifests":[`+
		`{"mediaType":%q,"size":%d,"digest":%q,"platform":{"architecture":"amd64","os":"linux"}}]}`,
		manifestType, len(r.foreignImage.manifest), digestOf(r.foreignImage.manifest))
	call(t, http.MethodPut, r.through("/v2/acme/etl/manifests/list"), index, login,
		header("Content-Type", "application/vnd.docker.distribution.manifest.list.v2+json")).Want(http.StatusBadRequest)
	r.wantForeignUntouched(t)
}
