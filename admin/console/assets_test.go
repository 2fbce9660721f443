package console

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"
)

func TestAssetsAreKept(t *testing.T) {
	t.Parallel()
	c := newConsole(nil)
	for name, file := range assets {
		path := "/assets/" + assetVersion + "/" + name
		w := c.get(t, "", path)
		if w.Code != 200 || !bytes.Equal(w.Body.Bytes(), file.content) || w.Header().Get("Content-Type") != file.contentType {
			t.Errorf("%s: %d %v", path, w.Code, w.Header())
		}
		if w.Header().Get("Cache-Control") != keptForGood || w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %v", path, w.Header())
		}
		again := c.serve(t, "", header(httptest.NewRequest("GET", path, nil), "If-None-Match: "+w.Header().Get("ETag")))
		if again.Code != http.StatusNotModified || again.Body.Len() != 0 {
			t.Errorf("%s, again: %d", path, again.Code)
		}
		// To a node of another version the same name is another file, so a browser must not keep what this one has for it.
		other := c.get(t, "", "/assets/0123456789abcdef/"+name)
		if other.Code != 200 || other.Header().Get("Cache-Control") != "no-cache" {
			t.Errorf("%s of another version: %d %q", name, other.Code, other.Header().Get("Cache-Control"))
		}
		if w := c.serve(t, "root", httptest.NewRequest("POST", path, nil)); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", path, w.Code)
		}
	}
	if len(assets) == 0 {
		t.Error("there are no assets")
	}
}

func TestAssetVersionFollowsTheFiles(t *testing.T) {
	t.Parallel()
	version := func(files map[string]string) string {
		all := make(fstest.MapFS)
		for name, content := range files {
			all["assets/"+name] = &fstest.MapFile{Data: []byte(content)}
		}
		_, version := readAssets(all)
		return version
	}
	a := version(map[string]string{"a.js": "1", "icons/b.svg": "2"})
	for name, files := range map[string]map[string]string{
		"another content": {"a.js": "1", "icons/b.svg": "3"},
		"another name":    {"a.js": "1", "icons/c.svg": "2"},
		"contents moved":  {"a.js": "2", "icons/b.svg": "1"},
		"a file more":     {"a.js": "1", "icons/b.svg": "2", "c.css": ""},
	} {
		if version(files) == a {
			t.Errorf("%s: the version stays %s", name, a)
		}
	}
	if again := version(map[string]string{"icons/b.svg": "2", "a.js": "1"}); again != a {
		t.Errorf("the same files have the versions %s and %s", a, again)
	}
}

func TestAssetOfAnUnknownTypeIsFound(t *testing.T) {
	t.Parallel()
	defer func() {
		if recover() == nil {
			t.Error("a file without a content type would be served")
		}
	}()
	readAssets(fstest.MapFS{"assets/a.exe": &fstest.MapFile{}})
}
