// Some documents, unless there are any.
if (db.articles.countDocuments({}, {limit: 1}) === 0) {
  db.articles.insertMany([
    {title: "How bees dance", body: "A bee that has found flowers shows the others where, by a dance.", author: {name: "Ada"}},
    {title: "Baking bread", body: "Flour, water, salt and time are all that a good loaf needs.", author: {name: "Ben"}},
    {title: "Tides", body: "The moon pulls at the sea, and twice a day the water comes and goes.", author: {name: "Cai"}},
    {title: "Old maps", body: "Where nothing was known, the makers of maps drew monsters.", author: {name: "Dua"}},
  ]);
}
