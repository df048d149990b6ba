CREATE TABLE robes (mammal TEXT, plugs INTEGER, court TEXT, plot TEXT);
INSERT INTO robes VALUES
('Tupum', 113, 'Heric', 'Pukel'),
('Fukel', 397, 'Julov', 'Pukel'),
('Sulin', 247, 'Rudic', 'Faden'),
('Lovel', 322, 'Heric', 'Bakin'),
('Wafin', 662, 'Jolum', 'Susski'),
('Tifum', 568, 'Jolum', 'Susski'),
('Dasski', 530, 'Heric', 'Simis'),
('Silski', 459, 'Heric', 'Vunen'),
('Ruser', 833, 'Jolum', 'Simis'),
('Valoff', 891, 'Julov', 'Vunen');

CREATE TABLE tenants (plot TEXT, probes INTEGER, terrain TEXT);
INSERT INTO tenants VALUES
('Pukel', 288, 'Fenic'),
('Vunen', 127, 'Lefis'),
('Simis', 398, 'Tokum'),
('Susski', 170, 'Fenic'),
('Bakin', 200, 'Fenic'),
('Faden', 247, 'Tokum');

CREATE TABLE offices (player TEXT, outlets INTEGER, coroner TEXT, gang TEXT);
INSERT INTO offices VALUES
('Levum', 507, 'Gigak', 'Judoff'),
('Tonis', 78, 'Zufov', 'Murak'),
('Pemov', 323, 'Yalin', 'Jasski'),
('Zurel', 249, 'Gigak', 'Jasski'),
('Gemski', 529, 'Leboff', 'Hidski'),
('Zivum', 889, 'Leboff', 'Judoff'),
('Netis', 372, 'Leboff', 'Hidski'),
('Kibak', 674, 'Leboff', 'Bobon'),
('Nalski', 874, 'Gigak', 'Bobon'),
('Dugak', 197, 'Yalin', 'Vever');

CREATE TABLE poems (gang TEXT, lag INTEGER, plot TEXT);
INSERT INTO poems VALUES
('Bobon', 837, 'Pumer'),
('Hidski', 948, 'Lagak'),
('Jasski', 697, 'Wiric'),
('Judoff', 666, 'Pumer'),
('Vever', 11, 'Lagak'),
('Murak', 158, 'Lagak');

CREATE TABLE dinners (coin TEXT, pier TEXT, lemons INTEGER, code TEXT);
INSERT INTO dinners VALUES
('Kodis', 'Detum', 507, 'Gosski'),
('Buvov', 'Dizum', 618, 'Luron'),
('Zorin', 'Dizum', 807, 'Hadis'),
('Wizen', 'Rubic', 252, 'Luron'),
('Tazel', 'Redon', 802, 'Teroff'),
('Wisum', 'Rubic', 914, 'Teroff'),
('Kerak', 'Redon', 63, 'Yaren'),
('Kagis', 'Rubic', 293, 'Gosski'),
('Mazis', 'Rubic', 381, 'Yaren'),
('Nonon', 'Dizum', 893, 'Foven');

CREATE TABLE tools (code TEXT, curator TEXT, lines INTEGER);
INSERT INTO tools VALUES
('Luron', 'Gebum', 262),
('Gosski', 'Wezon', 913),
('Yaren', 'Sebski', 504),
('Teroff', 'Wezon', 529),
('Hadis', 'Wezon', 110),
('Foven', 'Gebum', 254);

CREATE TABLE birds (ship TEXT, flower TEXT, passes INTEGER, grape TEXT);
INSERT INTO birds VALUES
('Wibov', 'Zapak', 85, 'Revski'),
('Yovon', 'Zapak', 177, 'Fofis'),
('Ziden', 'Hifel', 204, 'Wasen'),
('Givak', 'Koris', 330, 'Fofis'),
('Tubak', 'Miger', 828, 'Falin'),
('Neker', 'Zapak', 907, 'Darin'),
('Gezis', 'Hifel', 198, 'Falin'),
('Nimin', 'Koris', 355, 'Napov'),
('Bulen', 'Koris', 832, 'Napov'),
('Haron', 'Zapak', 149, 'Darin');

CREATE TABLE wells (grape TEXT, idol TEXT, panels INTEGER);
INSERT INTO wells VALUES
('Falin', 'Jobel', 944),
('Fofis', 'Jafon', 73),
('Napov', 'Demen', 778),
('Darin', 'Jobel', 898),
('Revski', 'Demen', 963),
('Wasen', 'Demen', 893);

CREATE TABLE booths (insect TEXT, planner TEXT, pages INTEGER, maker TEXT);
INSERT INTO booths VALUES
('Kopak', 'Daken', 552, 'Yuvon'),
('Jilon', 'Ludov', 585, 'Yuvon'),
('Sitel', 'Luron', 994, 'Vesen'),
('Deven', 'Luron', 22, 'Fazoff'),
('Saber', 'Zedon', 988, 'Vesen'),
('Tuzen', 'Ludov', 872, 'Pobski'),
('Topoff', 'Ludov', 626, 'Yinon'),
('Fivel', 'Zedon', 568, 'Yinon'),
('Tipoff', 'Luron', 548, 'Pobski'),
('Pezen', 'Luron', 318, 'Yevon');

CREATE TABLE crabs (maker TEXT, margin INTEGER, nation TEXT);
INSERT INTO crabs VALUES
('Pobski', 530, 'Mofum'),
('Vesen', 825, 'Mofum'),
('Yuvon', 215, 'Josski'),
('Yinon', 568, 'Mofum'),
('Yevon', 92, 'Josski'),
('Fazoff', 664, 'Bekoff');

CREATE TABLE threads (film TEXT, judo TEXT, memory INTEGER, fleet TEXT);
INSERT INTO threads VALUES
('Lafen', 'Vesski', 642, 'Kason'),
('Kupic', 'Fikov', 27, 'Sipen'),
('Vitov', 'Vesski', 130, 'Vinis'),
('Zunon', 'Vesski', 74, 'Jonski'),
('Yeton', 'Fikov', 635, 'Jonski'),
('Datis', 'Dogis', 777, 'Dibin'),
('Nomov', 'Fikov', 99, 'Kason'),
('Tuboff', 'Dogis', 247, 'Lizin'),
('Fozon', 'Fikov', 807, 'Vinis'),
('Mupic', 'Kelel', 382, 'Dibin');

CREATE TABLE plazas (fleet TEXT, salary INTEGER, finish TEXT);
INSERT INTO plazas VALUES
('Jonski', 967, 'Yimoff'),
('Kason', 835, 'Lelen'),
('Dibin', 892, 'Yimoff'),
('Vinis', 864, 'Lelen'),
('Lizin', 194, 'Yimoff'),
('Sipen', 517, 'Hesin');

CREATE TABLE cows (solo TEXT, kind TEXT, savings INTEGER, matron TEXT);
INSERT INTO cows VALUES
('Jemum', 'Ziken', 378, 'Lotski'),
('Nemic', 'Jumis', 44, 'Lotski'),
('Vofin', 'Negen', 888, 'Didel'),
('Budum', 'Ziken', 690, 'Kogski'),
('Gupel', 'Ziken', 907, 'Kogski'),
('Misis', 'Negen', 563, 'Nafin'),
('Jasak', 'Hugel', 740, 'Nanski'),
('Hogski', 'Hugel', 225, 'Didel'),
('Wobel', 'Ziken', 280, 'Pukic'),
('Zagin', 'Hugel', 229, 'Pukic');

CREATE TABLE waters (matron TEXT, curves INTEGER, stage TEXT);
INSERT INTO waters VALUES
('Didel', 216, 'Lokic'),
('Kogski', 734, 'Saron'),
('Pukic', 838, 'Sapis'),
('Lotski', 776, 'Saron'),
('Nanski', 892, 'Lokic'),
('Nafin', 385, 'Saron');

CREATE TABLE marinas (bank TEXT, term TEXT, dollars INTEGER, gang TEXT);
INSERT INTO marinas VALUES
('Motoff', 'Pogon', 978, 'Sikoff'),
('Hazic', 'Tobel', 267, 'Hogski'),
('Jabum', 'Pogon', 95, 'Raken'),
('Batoff', 'Pogon', 130, 'Katic'),
('Jugoff', 'Tobel', 734, 'Tiric'),
('Hevum', 'Yagak', 97, 'Katic'),
('Neris', 'Tobel', 151, 'Raken'),
('Narer', 'Yagak', 227, 'Vofak'),
('Rogon', 'Tobel', 963, 'Tiric'),
('Gobis', 'Doben', 572, 'Hogski');

CREATE TABLE tanks (gang TEXT, boat TEXT, hands INTEGER);
INSERT INTO tanks VALUES
('Katic', 'Pumum', 717),
('Hogski', 'Pumum', 137),
('Tiric', 'Pumum', 894),
('Raken', 'Sabski', 997),
('Vofak', 'Zevum', 673),
('Sikoff', 'Zevum', 723);

CREATE TABLE motors (office TEXT, clones INTEGER, salon TEXT, medium TEXT);
INSERT INTO motors VALUES
('Noter', 282, 'Fagak', 'Makin'),
('Latoff', 980, 'Nigic', 'Tulak'),
('Mazer', 608, 'Jakis', 'Nodski'),
('Yokoff', 434, 'Nigic', 'Hezen'),
('Kulak', 362, 'Fagak', 'Yekum'),
('Bedis', 535, 'Jakis', 'Rufel'),
('Todis', 179, 'Widoff', 'Tulak'),
('Nuben', 335, 'Fagak', 'Makin'),
('Vokski', 490, 'Jakis', 'Hezen'),
('Poson', 227, 'Jakis', 'Nodski');

CREATE TABLE barbers (medium TEXT, mouth TEXT, books INTEGER);
INSERT INTO barbers VALUES
('Tulak', 'Mabov', 325),
('Hezen', 'Lapov', 218),
('Makin', 'Mabov', 993),
('Nodski', 'Mabov', 230),
('Rufel', 'Yenum', 291),
('Yekum', 'Yenum', 781);

CREATE TABLE angels (trial TEXT, cell TEXT, flaws INTEGER, voice TEXT);
INSERT INTO angels VALUES
('Popic', 'Waron', 99, 'Sirin'),
('Nofic', 'Sobic', 358, 'Yetov'),
('Mabic', 'Ridak', 956, 'Sirin'),
('Bogski', 'Ridak', 668, 'Vagis'),
('Somis', 'Waron', 256, 'Lagis'),
('Nener', 'Sobic', 360, 'Roden'),
('Zivel', 'Ridak', 977, 'Yetov'),
('Kugen', 'Lovoff', 243, 'Geken'),
('Sonon', 'Waron', 364, 'Vagis'),
('Yikic', 'Waron', 553, 'Geken');

CREATE TABLE pigs (voice TEXT, machine TEXT, pence INTEGER);
INSERT INTO pigs VALUES
('Sirin', 'Jific', 633),
('Vagis', 'Bezov', 673),
('Geken', 'Jodin', 440),
('Yetov', 'Bezov', 177),
('Lagis', 'Jific', 767),
('Roden', 'Jific', 836);

CREATE TABLE mules (poet TEXT, volume INTEGER, usher TEXT, bearer TEXT);
INSERT INTO mules VALUES
('Fatic', 851, 'Zapel', 'Lagen'),
('Pagum', 933, 'Wigis', 'Kilov'),
('Zazski', 632, 'Sefic', 'Bagin'),
('Karov', 898, 'Zadum', 'Kilov'),
('Wizoff', 259, 'Wigis', 'Lebel'),
('Dakin', 977, 'Wigis', 'Vanov'),
('Gevoff', 432, 'Wigis', 'Koben'),
('Tizski', 857, 'Zapel', 'Lebel'),
('Soboff', 368, 'Sefic', 'Koben'),
('Yezel', 650, 'Sefic', 'Lagen');

CREATE TABLE films (bearer TEXT, color TEXT, ways INTEGER);
INSERT INTO films VALUES
('Koben', 'Gadic', 943),
('Lagen', 'Zufoff', 930),
('Lebel', 'Zufoff', 416),
('Kilov', 'Zufoff', 554),
('Bagin', 'Munak', 960),
('Vanov', 'Gadic', 472);

CREATE TABLE cameras (bed TEXT, icons INTEGER, cousin TEXT, idol TEXT);
INSERT INTO cameras VALUES
('Gelski', 63, 'Dutski', 'Vokin'),
('Dulski', 86, 'Mobov', 'Tosel'),
('Mobic', 962, 'Porin', 'Vevak'),
('Yisin', 824, 'Mobov', 'Juvic'),
('Tikon', 483, 'Soric', 'Ruvak'),
('Bilic', 969, 'Mobov', 'Ruvak'),
('Mibin', 162, 'Dutski', 'Tufen'),
('Busski', 287, 'Porin', 'Juvic'),
('Pigen', 992, 'Dutski', 'Tufen'),
('Melon', 29, 'Mobov', 'Vokin');

CREATE TABLE roles (idol TEXT, story TEXT, layers INTEGER);
INSERT INTO roles VALUES
('Tufen', 'Zitak', 667),
('Ruvak', 'Palski', 122),
('Juvic', 'Zitak', 462),
('Vokin', 'Palski', 535),
('Vevak', 'Zitak', 58),
('Tosel', 'Rufov', 475);

CREATE TABLE geese (model TEXT, part TEXT, cables INTEGER, caterer TEXT);
INSERT INTO geese VALUES
('Kovoff', 'Yenak', 743, 'Bofum'),
('Bumov', 'Yenak', 132, 'Jiris'),
('Kazin', 'Fepic', 763, 'Vonoff'),
('Lonin', 'Ronak', 48, 'Gonum'),
('Loder', 'Yenak', 614, 'Gonum'),
('Fapis', 'Fepic', 553, 'Yafel'),
('Wugak', 'Vemel', 290, 'Yafel'),
('Wotak', 'Fepic', 876, 'Bofum'),
('Mamski', 'Vemel', 51, 'Vonoff'),
('Gevon', 'Fepic', 640, 'Vapum');

CREATE TABLE hounds (caterer TEXT, drinks INTEGER, type TEXT);
INSERT INTO hounds VALUES
('Vonoff', 116, 'Hunis'),
('Yafel', 565, 'Yubis'),
('Bofum', 671, 'Yubis'),
('Gonum', 761, 'Pufak'),
('Jiris', 186, 'Hunis'),
('Vapum', 110, 'Yubis');

CREATE TABLE hammers (ally TEXT, growth INTEGER, council TEXT, term TEXT);
INSERT INTO hammers VALUES
('Monon', 322, 'Fivis', 'Zosski'),
('Seger', 869, 'Jukel', 'Yirel'),
('Yaven', 703, 'Fivis', 'Basak'),
('Vosis', 136, 'Lutel', 'Jufum'),
('Guzis', 644, 'Jukel', 'Reton'),
('Sonov', 112, 'Fivis', 'Basak'),
('Jurum', 77, 'Sivis', 'Mutoff'),
('Nabski', 574, 'Fivis', 'Zosski'),
('Hapski', 812, 'Sivis', 'Reton'),
('Kutoff', 337, 'Jukel', 'Jufum');

CREATE TABLE jobs (term TEXT, face TEXT, layers INTEGER);
INSERT INTO jobs VALUES
('Zosski', 'Hemon', 770),
('Jufum', 'Modon', 998),
('Reton', 'Modon', 241),
('Basak', 'Rotel', 584),
('Mutoff', 'Modon', 647),
('Yirel', 'Rotel', 70);

CREATE TABLE dramas (buyer TEXT, path TEXT, tokens INTEGER, vendor TEXT);
INSERT INTO dramas VALUES
('Pulski', 'Tonic', 990, 'Hodum'),
('Repic', 'Keter', 837, 'Fepum'),
('Kubski', 'Dudon', 13, 'Zader'),
('Mudin', 'Dudon', 425, 'Biden'),
('Venis', 'Dudon', 57, 'Hodum'),
('Hurum', 'Keter', 498, 'Himis'),
('Pizic', 'Hupoff', 768, 'Zader'),
('Rasel', 'Tonic', 632, 'Himis'),
('Joren', 'Dudon', 852, 'Biden'),
('Hipic', 'Tonic', 878, 'Vopoff');

CREATE TABLE looms (vendor TEXT, dean TEXT, lumens INTEGER);
INSERT INTO looms VALUES
('Biden', 'Yidon', 204),
('Hodum', 'Yidon', 699),
('Zader', 'Varic', 603),
('Himis', 'Vubski', 523),
('Fepum', 'Yidon', 63),
('Vopoff', 'Varic', 815);

CREATE TABLE tapes (torch TEXT, model TEXT, fires INTEGER, bride TEXT);
INSERT INTO tapes VALUES
('Pavak', 'Keloff', 226, 'Kunin'),
('Hafon', 'Keloff', 607, 'Paton'),
('Pinin', 'Bizon', 717, 'Loser'),
('Bebis', 'Megak', 513, 'Dekski'),
('Pabum', 'Keloff', 853, 'Gisoff'),
('Lamak', 'Megak', 773, 'Paton'),
('Fobum', 'Megak', 124, 'Dekski'),
('Yinis', 'Megak', 930, 'Loser'),
('Ronon', 'Diber', 855, 'Kunin'),
('Muzum', 'Diber', 723, 'Demski');

CREATE TABLE canoes (bride TEXT, vessel TEXT, faces INTEGER);
INSERT INTO canoes VALUES
('Paton', 'Yobel', 750),
('Dekski', 'Kebin', 840),
('Kunin', 'Yobel', 366),
('Loser', 'Kebin', 990),
('Demski', 'Mukak', 618),
('Gisoff', 'Kebin', 826);

CREATE TABLE lawns (portal TEXT, moons INTEGER, lens TEXT, coroner TEXT);
INSERT INTO lawns VALUES
('Mozum', 457, 'Kuten', 'Guzer'),
('Gavum', 887, 'Pinic', 'Tuzer'),
('Bepoff', 11, 'Javen', 'Ratel'),
('Tagon', 378, 'Kuten', 'Nevoff'),
('Tisen', 61, 'Fepon', 'Nevoff'),
('Wibak', 385, 'Javen', 'Guzer'),
('Jedoff', 833, 'Javen', 'Tuzer'),
('Wiper', 892, 'Javen', 'Visel'),
('Lazel', 462, 'Fepon', 'Ratel'),
('Veson', 84, 'Kuten', 'Helov');

CREATE TABLE gyms (coroner TEXT, mark TEXT, hats INTEGER);
INSERT INTO gyms VALUES
('Guzer', 'Palel', 737),
('Nevoff', 'Palel', 249),
('Ratel', 'Bagin', 609),
('Tuzer', 'Bagin', 209),
('Helov', 'Bagin', 834),
('Visel', 'Ganis', 659);

CREATE TABLE folders (painter TEXT, doctor TEXT, slope INTEGER, dancer TEXT);
INSERT INTO folders VALUES
('Kazon', 'Sukel', 824, 'Hifon'),
('Gebski', 'Fabin', 84, 'Farak'),
('Vitis', 'Sukel', 256, 'Hifon'),
('Vorak', 'Fabin', 354, 'Keger'),
('Wopis', 'Bosen', 969, 'Noson'),
('Rozski', 'Siber', 667, 'Siven'),
('Yonen', 'Siber', 666, 'Keger'),
('Givin', 'Fabin', 274, 'Dumon'),
('Dadoff', 'Sukel', 145, 'Noson'),
('Tidel', 'Sukel', 161, 'Farak');

CREATE TABLE herbs (dancer TEXT, tool TEXT, notes INTEGER);
INSERT INTO herbs VALUES
('Farak', 'Kodel', 872),
('Keger', 'Fepov', 82),
('Noson', 'Fepov', 434),
('Hifon', 'Fepov', 184),
('Dumon', 'Kikel', 583),
('Siven', 'Kikel', 372);

CREATE TABLE trucks (mark TEXT, cost INTEGER, garden TEXT, servant TEXT);
INSERT INTO trucks VALUES
('Lagen', 907, 'Hinum', 'Rukov'),
('Tilin', 334, 'Talum', 'Rukov'),
('Dufum', 366, 'Hevin', 'Figon'),
('Roger', 67, 'Talum', 'Puvis'),
('Tadoff', 590, 'Ditis', 'Horen'),
('Lenak', 496, 'Hinum', 'Pisic'),
('Katski', 795, 'Hinum', 'Pisic'),
('Dozen', 459, 'Hinum', 'Figon'),
('Fipic', 991, 'Hevin', 'Rison'),
('Dipel', 893, 'Talum', 'Horen');

CREATE TABLE aprons (servant TEXT, acres INTEGER, season TEXT);
INSERT INTO aprons VALUES
('Figon', 602, 'Bozski'),
('Pisic', 238, 'Bozski'),
('Horen', 877, 'Wukak'),
('Rukov', 466, 'Bozski'),
('Puvis', 289, 'Buvum'),
('Rison', 279, 'Wukak');

CREATE TABLE eagles (mouth TEXT, force INTEGER, marshal TEXT, side TEXT);
INSERT INTO eagles VALUES
('Ramak', 960, 'Kilski', 'Puter'),
('Zarak', 761, 'Peber', 'Wolel'),
('Domov', 249, 'Peber', 'Wolel'),
('Nufoff', 398, 'Sanel', 'Puter'),
('Ponel', 644, 'Kilski', 'Yegel'),
('Jigis', 607, 'Sanel', 'Biler'),
('Vunis', 572, 'Peber', 'Vugski'),
('Regum', 457, 'Peber', 'Gegum'),
('Pufis', 902, 'Sanel', 'Vugski'),
('Tusak', 335, 'Lusski', 'Gegum');

CREATE TABLE vans (side TEXT, scenes INTEGER, sector TEXT);
INSERT INTO vans VALUES
('Vugski', 823, 'Sarin'),
('Gegum', 41, 'Reloff'),
('Wolel', 283, 'Reloff'),
('Puter', 869, 'Sarin'),
('Yegel', 50, 'Vesic'),
('Biler', 197, 'Reloff');
