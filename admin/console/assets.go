package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/deploymentkeys/gateway/admin"
)

//go:embed assets
var assetFiles embed.FS

// An asset is a file that pages need, as it is sent.
type asset struct {
	content     []byte
	contentType string
	etag        string
}

// contentTypes are those of assets. A machine's own table may say otherwise.
var contentTypes = map[string]string{
	".css":         "text/css; charset=utf-8",
	".ico":         "image/vnd.microsoft.icon",
	".js":          "text/javascript; charset=utf-8",
	".png":         "image/png",
	".svg":         "image/svg+xml",
	".txt":         "text/plain; charset=utf-8", // licences
	".webmanifest": "application/manifest+json",
	".woff2":       "font/woff2",
}

// keptForGood is the Cache-Control of assets under their own version.
const keptForGood = "public, max-age=31536000, immutable"

// assets are those by name, and assetVersion changes whenever one of them does. It is in their URLs, so
// that browsers may keep them for good.
var assets, assetVersion = readAssets(assetFiles)

func readAssets(files fs.FS) (map[string]asset, string) {
	read, all := make(map[string]asset), sha256.New()
	err := fs.WalkDir(files, "assets", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		name = name[len("assets/"):]
		contentType, ok := contentTypes[path.Ext(name)]
		if !ok {
			return fmt.Errorf("asset %s: add the content type of %s to contentTypes", name, path.Ext(name))
		}
		digest := sha256.Sum256(content)
		fmt.Fprintf(all, "%s %x\n", name, digest)
		read[name] = asset{content, contentType, `"` + hex.EncodeToString(digest[:16]) + `"`}
		return nil
	})
	if err != nil {
		panic(err) // they are in the binary
	}
	return read, hex.EncodeToString(all.Sum(nil)[:8])
}

// assetURL is for templates: {{asset "app.js"}}. What is not there ends the page, in tests at the latest.
func assetURL(name string) (string, error) {
	if _, ok := assets[name]; !ok {
		return "", fmt.Errorf("there is no asset %s", name)
	}
	return "/assets/" + assetVersion + "/" + name, nil
}

// serveAsset serves an asset, to anybody: they are the same for all.
func (c *Console) serveAsset(w http.ResponseWriter, r *http.Request) {
	if !admin.Allow(w, r, http.MethodGet) {
		return
	}
	name := r.PathValue("name")
	file, ok := assets[name]
	if !ok {
		c.serveNothing(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Type", file.contentType)
	header.Set("ETag", file.etag)
	// While nodes change to another version, a page of one asks the other for its assets. What it gets
	// is not kept under that version.
	header.Set("Cache-Control", "no-cache")
	if r.PathValue("version") == assetVersion {
		header.Set("Cache-Control", keptForGood)
	}
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.content))
}
