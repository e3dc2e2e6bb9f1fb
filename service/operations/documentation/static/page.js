// Relative to /docs, as all addresses of the page are, so that it works below a prefix as well.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  validatorUrl: null, // the badge would send the address to a server of its own
});
