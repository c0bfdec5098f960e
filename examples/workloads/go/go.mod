module journeymesh.example/sample-go

go 1.19
