package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/modules/logging"
	"go.uber.org/zap/buffer"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"

	"github.com/deploymentkeys/gateway/internal/redact"
)

func init() {
	caddy.RegisterModule(new(LogEncoder))
}

// LogEncoder takes the secrets of keys and tokens out of log entries, wherever they are in them, and
// puts "[redacted]" in their place. The gateway logs none by itself. But Caddy logs the URI and the
// headers of each request, but for Authorization and cookies, and clients put secrets there by
// mistake: into the query, or in the place of an ID. It is for access logs and for Caddy's own log,
// which has the requests to the admin endpoint.
//
// What it takes for one is dks_ and eight or more letters and digits, and what begins as a JWT does.
// A password has no form of its own, and is not found.
type LogEncoder struct {
	// How entries are written: another encoder. Default: json, and console for a terminal.
	WrappedRaw json.RawMessage `json:"wrap,omitempty" caddy:"namespace=caddy.logging.encoders inline_key=format"`

	// The other encoder, to which all of its methods go but those below.
	zapcore.Encoder `json:"-"`

	ctx caddy.Context
}

// CaddyModule returns the Caddy module information.
func (*LogEncoder) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "caddy.logging.encoders.deployment_keys",
		New: func() caddy.Module { return new(LogEncoder) },
	}
}

// Provision loads the other encoder.
func (e *LogEncoder) Provision(ctx caddy.Context) error {
	e.ctx = ctx
	if e.WrappedRaw == nil {
		return e.wrap(new(logging.JSONEncoder))
	}
	wrapped, err := ctx.LoadModule(e, "WrappedRaw")
	if err != nil {
		return fmt.Errorf("the log format deployment_keys: %w", err)
	}
	e.Encoder = wrapped.(zapcore.Encoder)
	return nil
}

// wrap makes one of Caddy's encoders the other one.
func (e *LogEncoder) wrap(encoder interface {
	zapcore.Encoder
	caddy.Provisioner
},
) error {
	e.Encoder = encoder
	return encoder.Provision(e.ctx)
}

// ConfigureDefaultFormat is what Caddy calls once it knows where the log is written.
func (e *LogEncoder) ConfigureDefaultFormat(writer caddy.WriterOpener) error {
	if e.WrappedRaw != nil {
		if wrapped, ok := e.Encoder.(caddy.ConfiguresFormatterDefault); ok {
			return wrapped.ConfigureDefaultFormat(writer)
		}
		return nil
	}
	if caddy.IsWriterStandardStream(writer) && term.IsTerminal(int(os.Stderr.Fd())) {
		return e.wrap(new(logging.ConsoleEncoder))
	}
	return nil
}

// UnmarshalCaddyfile reads the format of a log. Syntax:
//
//	format deployment_keys [{
//		wrap <another format>
//	}]
func (e *LogEncoder) UnmarshalCaddyfile(d *caddyfile.Dispenser) error {
	d.Next() // the format's name
	if d.NextArg() {
		return d.ArgErr()
	}
	for d.NextBlock(0) {
		switch option := d.Val(); {
		case option != "wrap":
			return d.Errf("unknown option %q of the log format deployment_keys: the option is wrap", option)
		case e.WrappedRaw != nil:
			return d.Err("wrap is there more than once")
		case !d.NextArg():
			return d.ArgErr()
		}
		name := d.Val()
		module, err := caddyfile.UnmarshalModule(d, "caddy.logging.encoders."+name)
		if err != nil {
			return err
		}
		wrapped, ok := module.(zapcore.Encoder)
		if !ok {
			return d.Errf("%s is no log format", name)
		}
		e.WrappedRaw = caddyconfig.JSONModuleObject(wrapped, "format", name, nil)
	}
	return nil
}

// Clone implements [zapcore.Encoder].
func (e *LogEncoder) Clone() zapcore.Encoder {
	return &LogEncoder{WrappedRaw: e.WrappedRaw, Encoder: e.Encoder.Clone(), ctx: e.ctx}
}

// EncodeEntry implements [zapcore.Encoder]. It looks at the whole entry as it would be written, so no
// field is forgotten, and none that a later version of Caddy adds.
func (e *LogEncoder) EncodeEntry(entry zapcore.Entry, fields []zapcore.Field) (*buffer.Buffer, error) {
	encoded, err := e.Encoder.EncodeEntry(entry, fields)
	if err != nil {
		return nil, err
	}
	if clean := redact.Bytes(encoded.Bytes()); !bytes.Equal(clean, encoded.Bytes()) {
		encoded.Reset()
		_, _ = encoded.Write(clean) // to memory
	}
	return encoded, nil
}

// Interface guards
var (
	_ zapcore.Encoder                  = (*LogEncoder)(nil)
	_ caddy.Provisioner                = (*LogEncoder)(nil)
	_ caddy.ConfiguresFormatterDefault = (*LogEncoder)(nil)
	_ caddyfile.Unmarshaler            = (*LogEncoder)(nil)
)
