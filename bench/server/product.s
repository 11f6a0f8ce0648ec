// Empty: it lets product.go declare a function without a body.
