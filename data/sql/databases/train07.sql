CREATE TABLE sailors (virtue TEXT, cables INTEGER, hero TEXT, sage TEXT);
INSERT INTO sailors VALUES
('Fedel', 933, 'Jirel', 'Bidum'),
('Tutak', 281, 'Homis', 'Jugon'),
('Robski', 893, 'Jirel', 'Diber'),
('Zefov', 161, 'Zugski', 'Zupov'),
('Tuden', 744, 'Jirel', 'Wolin'),
('Suvak', 380, 'Tolon', 'Mekel'),
('Fepov', 773, 'Jirel', 'Wolin'),
('Fivis', 250, 'Zugski', 'Diber'),
('Legski', 541, 'Homis', 'Jugon'),
('Vilon', 604, 'Homis', 'Mekel');

CREATE TABLE debates (sage TEXT, mouth TEXT, trades INTEGER);
INSERT INTO debates VALUES
('Wolin', 'Dadon', 553),
('Mekel', 'Kikis', 675),
('Jugon', 'Kikis', 850),
('Diber', 'Dadon', 778),
('Zupov', 'Dadon', 342),
('Bidum', 'Nerin', 523);

CREATE TABLE leagues (fish TEXT, curator TEXT, swings INTEGER, class TEXT);
INSERT INTO leagues VALUES
('Baren', 'Zatski', 837, 'Zuten'),
('Kumic', 'Loroff', 777, 'Zuten'),
('Gipon', 'Hakum', 494, 'Kemen'),
('Karen', 'Zatski', 409, 'Kemen'),
('Yotov', 'Loroff', 408, 'Pipel'),
('Fepen', 'Rovin', 379, 'Tagon'),
('Pegis', 'Loroff', 853, 'Fumon'),
('Susis', 'Hakum', 521, 'Tagon'),
('Fuvak', 'Loroff', 433, 'Fumon'),
('Pugen', 'Hakum', 773, 'Fufel');

CREATE TABLE herbs (class TEXT, dates INTEGER, garden TEXT);
INSERT INTO herbs VALUES
('Zuten', 546, 'Gozis'),
('Tagon', 364, 'Teker'),
('Kemen', 398, 'Dozis'),
('Fumon', 118, 'Teker'),
('Pipel', 336, 'Gozis'),
('Fufel', 726, 'Teker');

CREATE TABLE rockers (fabric TEXT, title TEXT, nodes INTEGER, chapel TEXT);
INSERT INTO rockers VALUES
('Finer', 'Raver', 357, 'Napon'),
('Gison', 'Raver', 750, 'Mugoff'),
('Gazin', 'Sonel', 839, 'Buben'),
('Yoder', 'Tufen', 840, 'Vikis'),
('Vemum', 'Raver', 702, 'Mugoff'),
('Juzum', 'Kagen', 734, 'Bupon'),
('Yupum', 'Tufen', 521, 'Nevin'),
('Melic', 'Sonel', 392, 'Napon'),
('Lezon', 'Tufen', 556, 'Vikis'),
('Rifel', 'Raver', 675, 'Nevin');

CREATE TABLE acorns (chapel TEXT, club TEXT, copies INTEGER);
INSERT INTO acorns VALUES
('Napon', 'Womel', 196),
('Mugoff', 'Womel', 151),
('Nevin', 'Hokov', 818),
('Vikis', 'Rivin', 384),
('Bupon', 'Rivin', 453),
('Buben', 'Womel', 744);

CREATE TABLE pirates (phrase TEXT, visitor TEXT, scans INTEGER, duke TEXT);
INSERT INTO pirates VALUES
('Lebel', 'Fefov', 936, 'Tidis'),
('Malic', 'Fefov', 921, 'Henov'),
('Vitak', 'Tater', 935, 'Mefum'),
('Kider', 'Lotis', 850, 'Mefum'),
('Tovon', 'Tater', 442, 'Weven'),
('Nodin', 'Zifoff', 234, 'Jedoff'),
('Meloff', 'Fefov', 138, 'Henov'),
('Mazon', 'Fefov', 740, 'Weven'),
('Fafum', 'Tater', 401, 'Zaper'),
('Lumen', 'Zifoff', 320, 'Tidis');

CREATE TABLE geese (duke TEXT, walks INTEGER, pet TEXT);
INSERT INTO geese VALUES
('Henov', 55, 'Bivin'),
('Mefum', 387, 'Wafak'),
('Tidis', 608, 'Bivin'),
('Weven', 837, 'Bivin'),
('Jedoff', 396, 'Wiris'),
('Zaper', 196, 'Wafak');

CREATE TABLE pearls (setter TEXT, inches INTEGER, world TEXT, photo TEXT);
INSERT INTO pearls VALUES
('Bezon', 224, 'Paner', 'Botov'),
('Bovak', 436, 'Paner', 'Hapis'),
('Gosel', 93, 'Paner', 'Nuzel'),
('Jarski', 254, 'Botak', 'Nuzel'),
('Hunis', 501, 'Nizon', 'Botov'),
('Tason', 642, 'Nizon', 'Ridak'),
('Rufak', 28, 'Paner', 'Ridak'),
('Liroff', 623, 'Patak', 'Raven'),
('Miric', 651, 'Patak', 'Raven'),
('Mefum', 680, 'Nizon', 'Losic');

CREATE TABLE stables (photo TEXT, belt TEXT, version INTEGER);
INSERT INTO stables VALUES
('Ridak', 'Nisel', 513),
('Raven', 'Nisel', 533),
('Botov', 'Wolin', 381),
('Nuzel', 'Rekski', 839),
('Hapis', 'Wolin', 568),
('Losic', 'Nisel', 656);

CREATE TABLE letters (grape TEXT, swings INTEGER, cousin TEXT, tool TEXT);
INSERT INTO letters VALUES
('Waboff', 467, 'Remum', 'Vurak'),
('Zoloff', 501, 'Votoff', 'Kupic'),
('Tapski', 264, 'Weson', 'Vurak'),
('Tuden', 851, 'Zopon', 'Dodon'),
('Vivel', 347, 'Weson', 'Neger'),
('Ranic', 795, 'Zopon', 'Neger'),
('Tizen', 208, 'Remum', 'Luloff'),
('Yunel', 856, 'Weson', 'Luloff'),
('Gafov', 245, 'Remum', 'Yulel'),
('Danis', 963, 'Remum', 'Dodon');

CREATE TABLE ghosts (tool TEXT, family TEXT, tasks INTEGER);
INSERT INTO ghosts VALUES
('Dodon', 'Lelel', 287),
('Neger', 'Wutic', 218),
('Luloff', 'Wutic', 442),
('Vurak', 'Buker', 615),
('Yulel', 'Wutic', 373),
('Kupic', 'Buker', 842);

CREATE TABLE flags (golfer TEXT, spots INTEGER, regent TEXT, mouth TEXT);
INSERT INTO flags VALUES
('Nosel', 476, 'Samer', 'Tufum'),
('Tiben', 255, 'Samer', 'Fekic'),
('Nuzak', 198, 'Kifis', 'Bafov'),
('Suvski', 477, 'Samer', 'Kenis'),
('Tobis', 933, 'Jikin', 'Vogic'),
('Sagak', 441, 'Kifis', 'Tufum'),
('Zibic', 788, 'Gogen', 'Vogic'),
('Kegski', 719, 'Kifis', 'Fekic'),
('Golin', 991, 'Kifis', 'Kenis'),
('Gezin', 293, 'Gogen', 'Zetski');

CREATE TABLE texts (mouth TEXT, wires INTEGER, helper TEXT);
INSERT INTO texts VALUES
('Vogic', 748, 'Fupum'),
('Kenis', 925, 'Fotoff'),
('Fekic', 258, 'Vudel'),
('Tufum', 659, 'Vudel'),
('Bafov', 102, 'Fotoff'),
('Zetski', 457, 'Vudel');

CREATE TABLE shovels (buddy TEXT, brand TEXT, risks INTEGER, stand TEXT);
INSERT INTO shovels VALUES
('Ramis', 'Hagon', 67, 'Zibis'),
('Fupic', 'Hagon', 56, 'Koton'),
('Zilum', 'Vidski', 893, 'Ginum'),
('Ninen', 'Kuvoff', 502, 'Golic'),
('Fiken', 'Vidski', 723, 'Feden'),
('Zogel', 'Hagon', 378, 'Zibis'),
('Babum', 'Himis', 63, 'Wumic'),
('Rifak', 'Kuvoff', 114, 'Feden'),
('Yamin', 'Hagon', 288, 'Golic'),
('Fulum', 'Kuvoff', 476, 'Wumic');

CREATE TABLE sofas (stand TEXT, swaps INTEGER, folk TEXT);
INSERT INTO sofas VALUES
('Zibis', 46, 'Mepoff'),
('Golic', 118, 'Kapen'),
('Wumic', 479, 'Dimoff'),
('Feden', 129, 'Dimoff'),
('Ginum', 204, 'Mepoff'),
('Koton', 641, 'Dimoff');

CREATE TABLE dramas (fate TEXT, armor TEXT, oil INTEGER, holder TEXT);
INSERT INTO dramas VALUES
('Jener', 'Fetov', 474, 'Yivin'),
('Yozis', 'Mafak', 977, 'Lutel'),
('Sinel', 'Sogski', 238, 'Tavak'),
('Wepic', 'Sogski', 706, 'Bazer'),
('Tiboff', 'Mafak', 387, 'Jabel'),
('Rudoff', 'Fetov', 89, 'Tetic'),
('Gibic', 'Zadski', 150, 'Jabel'),
('Redis', 'Mafak', 191, 'Yivin'),
('Gifel', 'Fetov', 882, 'Bazer'),
('Jopski', 'Fetov', 337, 'Tetic');

CREATE TABLE stages (holder TEXT, lady TEXT, doors INTEGER);
INSERT INTO stages VALUES
('Yivin', 'Ponic', 167),
('Jabel', 'Pupon', 978),
('Bazer', 'Mapski', 688),
('Tetic', 'Pupon', 188),
('Lutel', 'Ponic', 782),
('Tavak', 'Ponic', 408);

CREATE TABLE hives (peer TEXT, plot TEXT, solos INTEGER, tutor TEXT);
INSERT INTO hives VALUES
('Teven', 'Megel', 378, 'Yilel'),
('Jegic', 'Hikon', 967, 'Putis'),
('Yoloff', 'Hikon', 626, 'Mobski'),
('Veler', 'Lorak', 197, 'Memov'),
('Lisov', 'Lorak', 227, 'Detski'),
('Yedov', 'Waber', 313, 'Yilel'),
('Toner', 'Hikon', 377, 'Mobski'),
('Yudoff', 'Waber', 496, 'Lovoff'),
('Rifov', 'Lorak', 968, 'Lovoff'),
('Sikon', 'Lorak', 981, 'Memov');

CREATE TABLE lessons (tutor TEXT, drinks INTEGER, fan TEXT);
INSERT INTO lessons VALUES
('Mobski', 798, 'Kikel'),
('Yilel', 615, 'Pavak'),
('Lovoff', 777, 'Pavak'),
('Memov', 607, 'Pezic'),
('Putis', 157, 'Pavak'),
('Detski', 282, 'Kikel');

CREATE TABLE boxers (aroma TEXT, worker TEXT, graphs INTEGER, vault TEXT);
INSERT INTO boxers VALUES
('Duzel', 'Kinic', 654, 'Muten'),
('Datic', 'Yimin', 694, 'Vebak'),
('Ledis', 'Kinic', 700, 'Duzis'),
('Yumoff', 'Vazak', 786, 'Dover'),
('Mazer', 'Jutis', 318, 'Silic'),
('Juboff', 'Kinic', 100, 'Dover'),
('Wipon', 'Vazak', 767, 'Nemin'),
('Korel', 'Yimin', 857, 'Nemin'),
('Hiner', 'Yimin', 723, 'Vebak'),
('Pazic', 'Kinic', 854, 'Muten');

CREATE TABLE albums (vault TEXT, pence INTEGER, senator TEXT);
INSERT INTO albums VALUES
('Nemin', 853, 'Ruzis'),
('Vebak', 169, 'Ruzis'),
('Dover', 870, 'Sepoff'),
('Muten', 304, 'Mifon'),
('Silic', 889, 'Ruzis'),
('Duzis', 526, 'Sepoff');

CREATE TABLE taxis (mood TEXT, buyer TEXT, repeats INTEGER, herald TEXT);
INSERT INTO taxis VALUES
('Nanak', 'Tabum', 982, 'Kason'),
('Yasen', 'Jodov', 884, 'Lofak'),
('Yerov', 'Hidum', 222, 'Nufski'),
('Fazis', 'Tabum', 484, 'Kason'),
('Zeton', 'Zogis', 82, 'Kogen'),
('Yotin', 'Hidum', 736, 'Yenski'),
('Nazen', 'Zogis', 130, 'Yenski'),
('Mibak', 'Hidum', 584, 'Kogen'),
('Befov', 'Tabum', 810, 'Gipov'),
('Pifis', 'Hidum', 327, 'Gipov');

CREATE TABLE songs (herald TEXT, servant TEXT, year INTEGER);
INSERT INTO songs VALUES
('Gipov', 'Wuger', 585),
('Kason', 'Dezon', 763),
('Yenski', 'Dezon', 654),
('Kogen', 'Wuger', 843),
('Nufski', 'Tumon', 556),
('Lofak', 'Dezon', 874);

CREATE TABLE ruins (sister TEXT, nodes INTEGER, giver TEXT, season TEXT);
INSERT INTO ruins VALUES
('Vefis', 253, 'Ribum', 'Gemel'),
('Jazoff', 740, 'Lovel', 'Pozer'),
('Kekin', 840, 'Dizak', 'Vevski'),
('Hukoff', 267, 'Dizak', 'Rilum'),
('Gopoff', 197, 'Polen', 'Gemel'),
('Zenon', 291, 'Polen', 'Werak'),
('Wedski', 73, 'Ribum', 'Firon'),
('Baboff', 853, 'Ribum', 'Vevski'),
('Setski', 891, 'Polen', 'Pozer'),
('Vinel', 417, 'Polen', 'Werak');

CREATE TABLE animals (season TEXT, bounces INTEGER, path TEXT);
INSERT INTO animals VALUES
('Werak', 231, 'Babak'),
('Gemel', 73, 'Rapov'),
('Pozer', 521, 'Babak'),
('Vevski', 869, 'Babak'),
('Firon', 820, 'Diken'),
('Rilum', 437, 'Rapov');

CREATE TABLE zoos (choir TEXT, finder TEXT, laps INTEGER, tract TEXT);
INSERT INTO zoos VALUES
('Jabon', 'Geden', 362, 'Fadov'),
('Zusen', 'Hetis', 106, 'Fadov'),
('Funen', 'Yaner', 74, 'Nifon'),
('Zutoff', 'Geden', 978, 'Tovis'),
('Fosin', 'Hetis', 720, 'Vukis'),
('Gezov', 'Volski', 995, 'Gudon'),
('Fosoff', 'Volski', 163, 'Vukis'),
('Yanin', 'Geden', 824, 'Neroff'),
('Jurski', 'Volski', 876, 'Gudon'),
('Hiken', 'Geden', 758, 'Tovis');

CREATE TABLE woods (tract TEXT, bets INTEGER, portal TEXT);
INSERT INTO woods VALUES
('Fadov', 30, 'Bepak'),
('Vukis', 372, 'Jopic'),
('Tovis', 247, 'Bepak'),
('Gudon', 717, 'Yetic'),
('Nifon', 656, 'Yetic'),
('Neroff', 355, 'Bepak');

CREATE TABLE lawyers (post TEXT, league TEXT, refunds INTEGER, senator TEXT);
INSERT INTO lawyers VALUES
('Fodon', 'Notak', 594, 'Yetski'),
('Fikis', 'Notak', 962, 'Dipic'),
('Vemin', 'Zeger', 280, 'Soron'),
('Zizum', 'Zilon', 770, 'Yetski'),
('Kezov', 'Notak', 583, 'Dipic'),
('Kigum', 'Zilon', 807, 'Wetak'),
('Befic', 'Zilon', 454, 'Feser'),
('Gidic', 'Zeger', 114, 'Wobel'),
('Dikoff', 'Zilon', 474, 'Feser'),
('Hufum', 'Gifak', 544, 'Wetak');

CREATE TABLE pilots (senator TEXT, noise INTEGER, plate TEXT);
INSERT INTO pilots VALUES
('Wetak', 150, 'Pusis'),
('Dipic', 709, 'Risel'),
('Feser', 353, 'Risel'),
('Yetski', 854, 'Pusis'),
('Soron', 583, 'Risel'),
('Wobel', 853, 'Yegic');

CREATE TABLE oaks (victor TEXT, axles INTEGER, forum TEXT, major TEXT);
INSERT INTO oaks VALUES
('Sovoff', 259, 'Ruloff', 'Zedin'),
('Pakic', 203, 'Yilic', 'Samum'),
('Dubak', 810, 'Nuken', 'Zedin'),
('Hater', 807, 'Yilic', 'Girer'),
('Yotoff', 154, 'Ruloff', 'Kukis'),
('Jatak', 54, 'Koker', 'Girer'),
('Labic', 850, 'Ruloff', 'Moren'),
('Lisis', 793, 'Koker', 'Samum'),
('Hopic', 700, 'Yilic', 'Niber'),
('Dupon', 609, 'Yilic', 'Kukis');

CREATE TABLE combs (major TEXT, size INTEGER, habitat TEXT);
INSERT INTO combs VALUES
('Zedin', 638, 'Datov'),
('Samum', 961, 'Hikis'),
('Kukis', 270, 'Datov'),
('Girer', 697, 'Zeser'),
('Moren', 689, 'Datov'),
('Niber', 525, 'Zeser');

CREATE TABLE motors (solo TEXT, voice TEXT, gaps INTEGER, trend TEXT);
INSERT INTO motors VALUES
('Yusin', 'Vagak', 86, 'Zovoff'),
('Fenel', 'Vagak', 676, 'Hupin'),
('Kadis', 'Hilum', 441, 'Wovum'),
('Nusin', 'Kibon', 893, 'Yevak'),
('Kesak', 'Vafin', 651, 'Yevak'),
('Nupski', 'Kibon', 628, 'Wovum'),
('Helon', 'Vafin', 754, 'Bamel'),
('Pisic', 'Vafin', 177, 'Bobon'),
('Menen', 'Vafin', 770, 'Zovoff'),
('Gukoff', 'Vagak', 265, 'Bamel');

CREATE TABLE robes (trend TEXT, euros INTEGER, painter TEXT);
INSERT INTO robes VALUES
('Bamel', 139, 'Wadon'),
('Zovoff', 708, 'Gezum'),
('Wovum', 728, 'Yomon'),
('Yevak', 245, 'Wadon'),
('Hupin', 891, 'Yomon'),
('Bobon', 462, 'Wadon');

CREATE TABLE stoves (region TEXT, rolls INTEGER, insect TEXT, aroma TEXT);
INSERT INTO stoves VALUES
('Wozin', 122, 'Vasski', 'Loden'),
('Yozis', 704, 'Lulum', 'Topov'),
('Ludoff', 384, 'Guzin', 'Jezoff'),
('Vafski', 862, 'Guzin', 'Jezoff'),
('Zomov', 265, 'Vasski', 'Topov'),
('Jefer', 867, 'Guzin', 'Gadis'),
('Gakoff', 719, 'Jeser', 'Gedski'),
('Vedis', 234, 'Vasski', 'Timski'),
('Patum', 481, 'Lulum', 'Timski'),
('Wovoff', 734, 'Vasski', 'Gadis');

CREATE TABLE lists (aroma TEXT, nets INTEGER, craft TEXT);
INSERT INTO lists VALUES
('Jezoff', 882, 'Hanak'),
('Gadis', 699, 'Hanak'),
('Topov', 778, 'Zevak'),
('Timski', 584, 'Hanak'),
('Gedski', 552, 'Tedoff'),
('Loden', 209, 'Zevak');

CREATE TABLE dinners (idol TEXT, virtue TEXT, batches INTEGER, robot TEXT);
INSERT INTO dinners VALUES
('Gason', 'Leser', 962, 'Zesel'),
('Dodis', 'Hadum', 110, 'Nozen'),
('Tifov', 'Hadum', 825, 'Bezak'),
('Somum', 'Leser', 730, 'Mufon'),
('Jepis', 'Leser', 349, 'Milin'),
('Wanski', 'Hadum', 845, 'Yetov'),
('Vemen', 'Kiden', 442, 'Zesel'),
('Kodin', 'Kiden', 317, 'Milin'),
('Molen', 'Fulel', 21, 'Bezak'),
('Fesin', 'Leser', 92, 'Yetov');

CREATE TABLE unions (robot TEXT, tires INTEGER, photo TEXT);
INSERT INTO unions VALUES
('Zesel', 940, 'Bilen'),
('Bezak', 103, 'Dunoff'),
('Yetov', 995, 'Dunoff'),
('Milin', 676, 'Dunoff'),
('Nozen', 99, 'Nuser'),
('Mufon', 243, 'Bilen');

CREATE TABLE gorges (printer TEXT, court TEXT, duty INTEGER, goddess TEXT);
INSERT INTO gorges VALUES
('Fosak', 'Hober', 290, 'Limin'),
('Popin', 'Yinel', 260, 'Limin'),
('Hugel', 'Fogen', 585, 'Fopov'),
('Juvak', 'Zegic', 128, 'Fopov'),
('Yebski', 'Hober', 892, 'Sufon'),
('Vogen', 'Yinel', 457, 'Nalen'),
('Kukak', 'Fogen', 592, 'Vabin'),
('Fozon', 'Yinel', 945, 'Nuven'),
('Vokski', 'Hober', 436, 'Sufon'),
('Rutov', 'Hober', 553, 'Vabin');

CREATE TABLE reefs (goddess TEXT, roofs INTEGER, player TEXT);
INSERT INTO reefs VALUES
('Limin', 295, 'Verski'),
('Sufon', 197, 'Momer'),
('Vabin', 963, 'Punen'),
('Fopov', 241, 'Punen'),
('Nalen', 246, 'Verski'),
('Nuven', 287, 'Punen');
