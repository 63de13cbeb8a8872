package thirdparty

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/labstack/echo/v4"
	echomw "github.com/labstack/echo/v4/middleware"
)

// The same small application in each router: a parameter in the path, a JSON
// body in and out, a panic that the router's own middleware answers, a stream.
func routers() map[string]http.Handler {
	return map[string]http.Handler{
		"ServeMux": serveMuxApp(),
		"chi":      chiApp(),
		"gin":      ginApp(),
		"echo":     echoApp(),
	}
}

type order struct {
	Item  string `json:"item"`
	Count int    `json:"count"`
}

func stream(w http.ResponseWriter) {
	for _, part := range []string{"one\n", "two\n", "three\n"} {
		io.WriteString(w, part)
		w.(http.Flusher).Flush()
	}
}

func serveMuxApp() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{name}", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello "+r.PathValue("name"))
	})
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		var o order
		if err := json.NewDecoder(r.Body).Decode(&o); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		o.Count++
		json.NewEncoder(w).Encode(o)
	})
	mux.HandleFunc("GET /panic", func(w http.ResponseWriter, _ *http.Request) {
		defer func() {
			if recover() != nil {
				w.WriteHeader(http.StatusInternalServerError)
			}
		}()
		panic("asked for")
	})
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, _ *http.Request) { stream(w) })
	return mux
}

func chiApp() http.Handler {
	r := chi.NewRouter()
	r.Use(middleware.RequestID, middleware.Recoverer, middleware.Compress(5))
	r.Get("/users/{name}", func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello "+chi.URLParam(r, "name"))
	})
	r.Post("/orders", serveMuxApp().ServeHTTP)
	r.Get("/panic", func(http.ResponseWriter, *http.Request) { panic("asked for") })
	r.Get("/stream", func(w http.ResponseWriter, _ *http.Request) { stream(w) })
	return r
}

func ginApp() http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.CustomRecoveryWithWriter(io.Discard, func(c *gin.Context, _ any) {
		c.AbortWithStatus(http.StatusInternalServerError)
	}))
	r.GET("/users/:name", func(c *gin.Context) { c.String(http.StatusOK, "hello %s", c.Param("name")) })
	r.POST("/orders", func(c *gin.Context) {
		var o order
		if err := c.BindJSON(&o); err != nil {
			return // BindJSON has answered
		}
		o.Count++
		c.JSON(http.StatusOK, o)
	})
	r.GET("/panic", func(*gin.Context) { panic("asked for") })
	r.GET("/stream", func(c *gin.Context) {
		parts := []string{"one\n", "two\n", "three\n"}
		c.Stream(func(w io.Writer) bool {
			io.WriteString(w, parts[0])
			parts = parts[1:]
			return len(parts) > 0
		})
	})
	return r
}

func echoApp() http.Handler {
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	e.Use(echomw.Recover(), echomw.RequestID())
	e.GET("/users/:name", func(c echo.Context) error { return c.String(http.StatusOK, "hello "+c.Param("name")) })
	e.POST("/orders", func(c echo.Context) error {
		var o order
		if err := c.Bind(&o); err != nil {
			return err
		}
		o.Count++
		return c.JSON(http.StatusOK, o)
	})
	e.GET("/panic", func(echo.Context) error { panic("asked for") })
	e.GET("/stream", func(c echo.Context) error {
		stream(c.Response())
		return nil
	})
	return e
}

func TestRouters(t *testing.T) {
	for name, h := range routers() {
		t.Run(name, func(t *testing.T) {
			onEach(t, h, func(t *testing.T, url string) {
				want(t, get(t, url+"/users/gopher"), 200, "hello gopher")
				want(t, post(t, url+"/orders", "application/json", `{"item":"egg","count":2}`), 200, `{"item":"egg","count":3}`)
				want(t, post(t, url+"/orders", "application/json", `{"item":`), 400, "")
				want(t, get(t, url+"/nowhere"), 404, "")
				want(t, get(t, url+"/panic"), 500, "")
				want(t, get(t, url+"/stream"), 200, "one\ntwo\nthree\n")
				// The connection that saw the panic and the errors still works.
				want(t, get(t, url+"/users/again"), 200, "hello again")
			})
		})
	}
}

// answer is a response read to its end.
type answer struct {
	*http.Response
	body string
}

func get(t *testing.T, url string) answer {
	t.Helper()
	resp, err := http.Get(url)
	return read(t, resp, err)
}

func post(t *testing.T, url, contentType, body string) answer {
	t.Helper()
	resp, err := http.Post(url, contentType, strings.NewReader(body))
	return read(t, resp, err)
}

func do(t *testing.T, req *http.Request) answer {
	t.Helper()
	resp, err := http.DefaultTransport.RoundTrip(req) // no decompression of what the test asked for itself
	return read(t, resp, err)
}

func read(t *testing.T, resp *http.Response, err error) answer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp, string(b)}
}

// want compares the status and, when body is not empty, the body.
func want(t *testing.T, got answer, status int, body string) {
	t.Helper()
	if got.StatusCode != status {
		t.Errorf("%s: status %d, want %d", got.Request.URL.Path, got.StatusCode, status)
	}
	if body != "" && strings.TrimSpace(got.body) != strings.TrimSpace(body) {
		t.Errorf("%s: body %q, want %q", got.Request.URL.Path, got.body, body)
	}
}
