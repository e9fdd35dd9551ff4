from bench.simulate.command import main

raise SystemExit(main())
